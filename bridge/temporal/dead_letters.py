"""Dead letters, seen from the bridge: listed by visibility, decided by updates (spec 02 §6)."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.client import WorkflowExecution as Execution
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from bridge.errors import EngineError
from bridge.temporal.connection import TemporalConnection
from workflows.contract import Tenancy, Update, WorkflowType
from workflows.names import dead_letter_id, dead_letter_prefix, queue_task_queue

__all__ = ["DeadLetterEntry", "DeadLetters"]

_CONCURRENT_CALLS = 20
_SECONDS = 1000
_UPDATE_TIMEOUT = timedelta(seconds=30)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """One dead letter, as lists show it.

    Attributes:
        receipt: The receipt of the message; also the id by which it is redriven or discarded.
        payload: The message, as raw JSON.
        failed_at_s: Unix time.
        retries: Attempts made.
    """

    receipt: str
    payload: msgspec.Raw
    error: str
    failed_at_s: int
    retries: int
    size_bytes: int
    function_id: str
    chain_id: str
    workflow_id: str


class DeadLetters:
    """The dead letters of queues. Methods take the internal queues that a name stands for.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy

    async def count(self, queues: Sequence[str]) -> int:
        """Count the dead letters of queues."""
        with _temporal_errors():
            return (await self._connection.client.count_workflows(self._query(queues))).count

    async def depth(self, queues: Sequence[str]) -> int:
        """Count the deliveries of queues that wait for a free slot."""
        with _temporal_errors():
            return sum(await self._at_once(self._depth(queue) for queue in queues))

    async def _depth(self, queue: str) -> int:
        client = self._connection.client
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue_task_queue(self._tenancy(), queue)),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        description = await client.workflow_service.describe_task_queue(request)
        return description.stats.approximate_backlog_count

    async def page(self, queues: Sequence[str], *, offset: int, limit: int) -> list[DeadLetterEntry]:
        """List dead letters, newest first."""
        client = self._connection.client
        with _temporal_errors():
            found = [each async for each in client.list_workflows(self._query(queues), limit=offset + limit)]
            entries = await self._at_once(self._entry(client, each) for each in found[offset:])
        return [entry for entry in entries if entry is not None]

    async def redrive(self, queues: Sequence[str]) -> int:
        """Send every dead letter of queues on its way again; answers how many.

        Oldest first: strictly so within a FIFO group, whose messages must not overtake each other.
        """

        async def redrive(workflow_ids: list[str]) -> int:
            return sum([await self._decide(each, Update.REDRIVE) for each in workflow_ids])

        with _temporal_errors():
            found = [each async for each in self._connection.client.list_workflows(self._query(queues))]
            lines: dict[str, list[str]] = {}
            for execution in reversed(found):
                memo = await execution.memo()
                group = memo.get("group")
                line = execution.id if group is None else f"group {memo['queue']} {group}"
                lines.setdefault(line, []).append(execution.id)
            return sum(await self._at_once(redrive(workflow_ids) for workflow_ids in lines.values()))

    async def redrive_message(self, queues: Sequence[str], receipt: str) -> int:
        """Send a message's dead letters on their way again; answers how many were there."""
        return await self._decide_message(queues, receipt, Update.REDRIVE)

    async def discard_message(self, queues: Sequence[str], receipt: str) -> int:
        """Let a message's dead letters go for good; answers how many were there."""
        return await self._decide_message(queues, receipt, Update.DISCARD)

    async def _decide_message(self, queues: Sequence[str], receipt: str, update: Update) -> int:
        with _temporal_errors():
            return sum(await self._at_once(self._decide(self._id(each, receipt), update) for each in queues))

    async def _at_once(self, work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
        """Do a bounded number of things at a time, and return what came of each in its place."""
        slots = asyncio.Semaphore(_CONCURRENT_CALLS)

        async def one(coroutine: Coroutine[Any, Any, Result]) -> Result:
            async with slots:
                return await coroutine

        return await asyncio.gather(*(one(each) for each in work))

    async def _decide(self, workflow_id: str, update: Update) -> bool:
        handle = self._connection.client.get_workflow_handle(workflow_id)
        try:
            decided: bool = await handle.execute_update(update, result_type=bool, rpc_timeout=_UPDATE_TIMEOUT)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        except WorkflowUpdateFailedError:
            return False
        return decided

    async def _entry(self, client: Client, execution: Execution) -> DeadLetterEntry | None:
        memo: dict[str, Any] = dict(await execution.memo())
        try:
            data = await _first_payload(client, execution)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:  # deleted since the search
                return None
            raise
        return DeadLetterEntry(
            receipt=memo["receipt"],
            payload=data,
            error=memo["error"],
            failed_at_s=memo["failed_at_ms"] // _SECONDS,
            retries=memo["attempts"],
            size_bytes=memo["size_bytes"],
            function_id=memo["function_id"],
            chain_id=memo["chain_id"],
            workflow_id=execution.id,
        )

    def _id(self, queue: str, receipt: str) -> str:
        return dead_letter_id(self._tenancy(), queue, receipt)

    def _query(self, queues: Sequence[str]) -> str:
        prefixes = (dead_letter_prefix(self._tenancy(), queue).replace("'", "''") for queue in queues)
        in_queues = " OR ".join(f"WorkflowId STARTS_WITH '{prefix}'" for prefix in prefixes)
        return (
            f"WorkflowType = '{WorkflowType.DEAD_LETTER}' AND ExecutionStatus = 'Running' AND ({in_queues})"
        )


@contextmanager
def _temporal_errors() -> Iterator[None]:
    try:
        yield
    except RPCError as exc:
        raise EngineError(f"Temporal did not answer ({exc.status.name}): {exc.message}") from exc
    except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
        raise EngineError(
            "The dead letter did not answer in time; it may be decided later. Does a bridge run?"
        ) from exc


async def _first_payload(client: Client, execution: Execution) -> msgspec.Raw:
    """Read a dead letter's payload from the first event of its history: no worker is asked."""
    response = await client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=execution.id, run_id=execution.run_id),
            maximum_page_size=1,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT,
        )
    )
    started = response.history.events[0].workflow_execution_started_event_attributes
    (value,) = await client.data_converter.decode([started.input.payloads[1]], [RawValue])
    return msgspec.Raw(value.payload.data)
