"""Durable topics in Temporal: one workflow per topic keeps the subscriptions (spec 02 §5)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import (
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from bridge.errors import EngineError, TriggerRejectedError
from bridge.temporal.connection import TemporalConnection
from workflows.contract import (
    Departure,
    Memo,
    Signal,
    Subscriber,
    SubscribeRequest,
    Tenancy,
    TopicStart,
    Update,
    WorkflowType,
)
from workflows.names import task_queue, topic_id, topic_prefix

__all__ = ["TemporalTopics"]

_RPC_TIMEOUT = timedelta(seconds=10)
_SUMMARY_LENGTH = 200


class TemporalTopics:
    """The subscriptions of all bridges.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy

    @property
    def identity(self) -> str:
        """The name under which this bridge holds subscriptions."""
        return self._connection.client.identity

    async def wait(self) -> None:
        """Return once Temporal has been reached.

        Cancellation: safe.
        """
        await self._connection.wait()

    async def subscribe(self, topic: str, request: SubscribeRequest) -> None:
        """Put a subscription in force; when this returns, every publish sees it.

        Raises:
            TriggerRejectedError: The topic has too many subscriptions.
            EngineError: Temporal, or the bridge that runs the topic, did not answer.
        """
        with _temporal_errors():
            try:
                await self._update(topic, Update.SUBSCRIBE, request)
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await self._start(topic)
                await self._update(topic, Update.SUBSCRIBE, request)
            except WorkflowUpdateFailedError as exc:
                raise TriggerRejectedError(str(exc.cause)) from exc

    async def unsubscribe(self, topic: str, departure: Departure) -> None:
        """End this bridge's part in a subscription; when this returns, every publish knows.

        Raises:
            EngineError: Temporal, or the bridge that runs the topic, did not answer.
        """
        with _temporal_errors():
            try:
                await self._update(topic, Update.UNSUBSCRIBE, departure)
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise
                if await self.subscribers(topic):  # it has continued as new just now
                    raise EngineError(f"The topic '{topic}' did not answer") from exc

    async def release(self, topic: str, departure: Departure) -> None:
        """Note that the function of a subscription is away from this bridge; no worker need be there.

        Raises:
            EngineError: Temporal did not answer.
        """
        with _temporal_errors():
            try:
                await self._handle(topic).signal(Signal.RELEASE, departure, rpc_timeout=_RPC_TIMEOUT)
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:  # then it has ended with its last subscription
                    raise

    async def subscribers(self, topic: str) -> list[Subscriber]:
        """Return who is subscribed to a topic now, on whichever bridge, here or away.

        Raises:
            EnqueueError: Temporal has not been reached since the bridge started.
            EngineError: Temporal did not answer.
        """
        with _temporal_errors():
            try:
                description = await self._handle(topic).describe(rpc_timeout=_RPC_TIMEOUT)
            except RPCError as exc:
                if exc.status is RPCStatusCode.NOT_FOUND:
                    return []
                raise
            if description.status is not WorkflowExecutionStatus.RUNNING:
                return []
            return await _subscribers(description)

    async def list(self) -> Mapping[str, list[Subscriber]]:
        """Return every topic that is subscribed to, as visibility knows it: perhaps as it was a moment ago.

        Raises:
            EngineError: Temporal did not answer.
        """
        query = (
            f"WorkflowType = '{WorkflowType.TOPIC}' AND ExecutionStatus = 'Running' "
            f"AND WorkflowId STARTS_WITH '{topic_prefix(self._tenancy())}'"
        )
        topics: dict[str, list[Subscriber]] = {}
        with _temporal_errors():
            async for execution in self._connection.client.list_workflows(query, rpc_timeout=_RPC_TIMEOUT):
                topic: str = await execution.memo_value(Memo.TOPIC, type_hint=str)
                topics[topic] = await _subscribers(execution)
        return topics

    async def _start(self, topic: str) -> None:
        """Have a topic run; nothing changes if it does."""
        tenancy = self._tenancy()
        await self._connection.client.start_workflow(
            WorkflowType.TOPIC,
            TopicStart(tenancy, topic),
            id=topic_id(tenancy, topic),
            task_queue=task_queue(tenancy),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            memo={Memo.TOPIC: topic},
            static_summary=f"topic {topic}"[:_SUMMARY_LENGTH],
            rpc_timeout=_RPC_TIMEOUT,
        )

    async def _update(self, topic: str, update: Update, argument: SubscribeRequest | Departure) -> None:
        await self._handle(topic).execute_update(update, argument, rpc_timeout=_RPC_TIMEOUT)

    def _handle(self, topic: str) -> WorkflowHandle[Any, Any]:
        return self._connection.client.get_workflow_handle(topic_id(self._tenancy(), topic))


async def _subscribers(execution: WorkflowExecution) -> list[Subscriber]:
    nobody: list[Subscriber] = []
    found: Any = await execution.memo_value(Memo.SUBSCRIBERS, nobody, type_hint=list[Subscriber])
    return list(found)


@contextmanager
def _temporal_errors() -> Iterator[None]:
    try:
        yield
    except RPCError as exc:
        raise EngineError(f"Temporal did not answer ({exc.status.name}): {exc.message}") from exc
    except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
        raise EngineError("The topic did not answer in time; does a bridge run?") from exc
    except WorkflowUpdateFailedError as exc:
        raise EngineError(f"The topic refused: {exc.cause}") from exc
