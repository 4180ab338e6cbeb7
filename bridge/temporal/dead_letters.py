"""Dead letters, seen from the bridge: listed by visibility, decided by updates (spec 02 §6)."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.client import WorkflowExecution as Execution
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.answers import answering
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.letter_search import FoundLetter, is_exact, open_letters, search
from workflows.contract import DeadLetter, LetterFilter, Tenancy, Update
from workflows.names import dead_letter_id, queue_task_queue

__all__ = ["DeadLetterEntry", "DeadLetters"]

_CONCURRENT_CALLS = 20
_READ_S = 20.0
_DECISION_S = 8.0
_DECISION_TIMEOUT = timedelta(seconds=_DECISION_S - 0.5)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """One dead letter.

    Attributes:
        letter: The message and how it died.
        payload: The message's payload, as raw JSON.
        listed_error: The error, as short as lists show it.
        workflow_id: Of the dead letter itself.
        keeper: Names the namespace of Temporal that keeps it, on whichever server.
    """

    letter: DeadLetter
    payload: msgspec.Raw
    listed_error: str
    workflow_id: str
    run_id: str
    keeper: str


class DeadLetters:
    """The dead letters of queues. Methods take the internal queues that a name stands for.

    Every method raises `BridgeError` when Temporal does not answer in time.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy

    async def count(self, letters: LetterFilter) -> int:
        """Count the dead letters that fit."""
        client = self._connection.client
        query = open_letters(self._tenancy(), letters)
        if is_exact(letters):
            async with answering():
                return (await client.count_workflows(query)).count
        return len([None async for _ in search(client, query, letters)])

    async def depth(self, queues: Sequence[str]) -> int:
        """Count the deliveries of queues that wait for a free slot."""
        async with answering():
            return sum(await self._at_once(self._depth(queue) for queue in queues))

    async def page(self, letters: LetterFilter, *, offset: int, limit: int) -> list[DeadLetterEntry]:
        """List the dead letters that fit, newest first."""
        if not limit:
            return []
        client = self._connection.client
        found: list[FoundLetter] = []
        async for each in search(client, open_letters(self._tenancy(), letters), letters):
            found.append(each)
            if len(found) == offset + limit:
                break
        async with answering(_READ_S):
            entries = await self._at_once(
                self._entry(client, each.execution, each.memo["error"]) for each in found[offset:]
            )
        return [entry for entry in entries if entry is not None]

    async def find(self, queues: Sequence[str], receipt: str) -> list[DeadLetterEntry]:
        """Look up the dead letters of one message."""
        client = self._connection.client
        async with answering():
            entries = await self._at_once(self._find(client, self._id(each, receipt)) for each in queues)
        return [entry for entry in entries if entry is not None]

    async def redrive_message(self, queues: Sequence[str], receipt: str) -> int:
        """Send a message's dead letters on their way again; answers how many were there."""
        return await self._decide_message(queues, receipt, Update.REDRIVE)

    async def discard_message(self, queues: Sequence[str], receipt: str) -> int:
        """Let a message's dead letters go for good; answers how many were there."""
        return await self._decide_message(queues, receipt, Update.DISCARD)

    async def _decide_message(self, queues: Sequence[str], receipt: str, update: Update) -> int:
        async with answering(_DECISION_S):
            return sum(await self._at_once(self._decide(self._id(each, receipt), update) for each in queues))

    async def _at_once(self, work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
        """Do a bounded number of things at a time, and return what came of each in its place."""
        slots = asyncio.Semaphore(_CONCURRENT_CALLS)

        async def one(coroutine: Coroutine[Any, Any, Result]) -> Result:
            async with slots:
                return await coroutine

        return await asyncio.gather(*(one(each) for each in work))

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

    async def _decide(self, workflow_id: str, update: Update) -> bool:
        handle = self._connection.client.get_workflow_handle(workflow_id)
        try:
            decided: bool = await handle.execute_update(
                update, result_type=bool, rpc_timeout=_DECISION_TIMEOUT
            )
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        except WorkflowUpdateFailedError:
            return False
        return decided

    async def _find(self, client: Client, workflow_id: str) -> DeadLetterEntry | None:
        try:
            execution = await client.get_workflow_handle(workflow_id).describe()
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        found = FoundLetter(execution, await execution.memo())
        return await self._entry(client, execution, found.memo["error"]) if found.is_open else None

    async def _entry(self, client: Client, execution: Execution, error: str) -> DeadLetterEntry | None:
        try:
            letter, data = await _arguments(client, execution)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:  # deleted since the search
                return None
            raise
        return DeadLetterEntry(
            letter=letter,
            payload=data,
            listed_error=error,
            workflow_id=execution.id,
            run_id=execution.run_id,
            keeper=self._connection.address.keeper,
        )

    def _id(self, queue: str, receipt: str) -> str:
        return dead_letter_id(self._tenancy(), queue, receipt)


async def _arguments(client: Client, execution: Execution) -> tuple[DeadLetter, msgspec.Raw]:
    """Read a dead letter and its payload from the first event of its history: no worker is asked."""
    response = await client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=execution.id, run_id=execution.run_id),
            maximum_page_size=1,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT,
        )
    )
    started = response.history.events[0].workflow_execution_started_event_attributes
    letter, value = await client.data_converter.decode(started.input.payloads, [DeadLetter, RawValue])
    return letter, msgspec.Raw(value.payload.data)
