"""Alarms about dead letters: one workflow per queue, open as long as there are too many."""

from collections.abc import Callable

from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.answers import answering
from bridge.temporal.connection import TemporalConnection
from workflows.contract import AlarmStart, Signal, Tenancy, WorkflowType
from workflows.names import alarm_id, task_queue

__all__ = ["DeadLetterAlarms"]

_SUMMARY_LENGTH = 200


class DeadLetterAlarms:
    """Raises and ends alarms; every method raises `BridgeError` when Temporal does not answer in time.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy

    async def begin(
        self, queue: str, function_id: str, *, count: int, capacity: int, threshold: int, at_ms: int
    ) -> None:
        """Raise an alarm, unless the queue has one: then its function has been called, or will be."""
        tenancy = self._tenancy()
        alarm = AlarmStart(tenancy, queue, function_id, count, capacity, threshold, at_ms)
        async with answering():
            try:
                await self._connection.client.start_workflow(
                    WorkflowType.ALARM,
                    alarm,
                    id=alarm_id(tenancy, queue),
                    task_queue=task_queue(tenancy),
                    static_summary=f"{count} dead letters in {queue}"[:_SUMMARY_LENGTH],
                )
            except WorkflowAlreadyStartedError:
                return

    async def end(self, queue: str) -> None:
        """End the alarm of a queue, if it has one."""
        alarm = self._connection.client.get_workflow_handle(alarm_id(self._tenancy(), queue))
        async with answering():
            try:
                await alarm.signal(Signal.FELL_BELOW_THRESHOLD)
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise
