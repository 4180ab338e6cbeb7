"""An alarm: open as long as a queue has too many dead letters, so that bridges tell of it once."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from workflows.calls import run_activity
from workflows.contract import Activity, AlarmStart, Signal, WorkflowType
from workflows.names import operations_task_queue

__all__ = ["Alarm"]

_CALL_TIMEOUT = timedelta(seconds=60)
_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=5), backoff_coefficient=1)


@workflow.defn(name=WorkflowType.ALARM)
class Alarm:
    """Calls the alert function once, and stays open until the dead letters are few enough again."""

    def __init__(self) -> None:
        self._is_over = False

    @workflow.run
    async def run(self, start: AlarmStart) -> str:
        """Tell how the alert function took it, once the alarm is over."""
        calling = asyncio.create_task(_call(start), name="alert")
        await workflow.wait_condition(lambda: self._is_over)
        if not calling.done():
            calling.cancel()
        try:
            return await calling
        except asyncio.CancelledError:
            return f"nobody offered {start.function_id}"

    @workflow.signal(name=Signal.FELL_BELOW_THRESHOLD)
    def fell_below_threshold(self) -> None:
        """Take a bridge's word that the dead letters are few enough again."""
        self._is_over = True


async def _call(start: AlarmStart) -> str:
    try:
        await run_activity(
            Activity.ALERT,
            start,
            task_queue=operations_task_queue(start.tenancy),
            start_to_close_timeout=_CALL_TIMEOUT,
            retry_policy=_RETRIES,
        )
    except ActivityError as error:
        outcome = f"{start.function_id} failed: {error.cause}"
    else:
        outcome = f"{start.function_id} was called"
    workflow.set_current_details(outcome)
    return outcome
