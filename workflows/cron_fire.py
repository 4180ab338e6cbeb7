"""One fire of a cron trigger, started by its Temporal Schedule (docs/architecture.md)."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

from workflows.contract import Activity, CronFire, CronResult, CronTick, Tenancy, WorkflowType
from workflows.names import cron_task_queue

__all__ = ["CronFireWorkflow"]

_SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
_NO_LIMIT = timedelta(days=3650)
"""iii waits for the function without a limit (spec 05 §1.5); the loss of the bridge shows in heartbeats."""
_OWN_TASK_QUEUE = "cron-task-queue"
_FIRST_PAUSE = timedelta(milliseconds=500)
_LONGEST_PAUSE = timedelta(seconds=4)


@workflow.defn(name=WorkflowType.CRON_FIRE)
class CronFireWorkflow:
    """Runs the trigger's function once; as in iii, a failure is recorded and not retried."""

    @workflow.run
    async def run(self, fire: CronFire) -> str:
        """Fire, on a bridge that has the trigger.

        Returns:
            `ran` or `skipped`; the latter when the trigger's condition objected, or when no bridge had the
            trigger within the catch-up window.

        Raises:
            ApplicationError: The function failed; the type is the iii error code.
        """
        scheduled = workflow.info().typed_search_attributes.get(_SCHEDULED_START, workflow.now())
        tick = CronTick(fire, _unix_ms(scheduled), _unix_ms(workflow.info().start_time))
        pause = _FIRST_PAUSE
        while (result := await _fire(tick)) == CronResult.NOBODY:
            await workflow.sleep(pause, summary="no worker has the trigger now")
            pause = min(pause * 2, _LONGEST_PAUSE)
        return result


async def _fire(tick: CronTick) -> str:
    try:
        result: str = await workflow.execute_activity(
            Activity.FIRE_CRON,
            tick,
            result_type=str,
            task_queue=_task_queue(),
            start_to_close_timeout=_NO_LIMIT,
            heartbeat_timeout=timedelta(milliseconds=tick.fire.heartbeat_timeout_ms),
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=tick.fire.function_id,
        )
    except ActivityError as error:
        cause = error.cause
        if isinstance(cause, ApplicationError):
            raise ApplicationError(cause.message, *cause.details, type=cause.type) from error
        raise
    return result


def _task_queue() -> str:
    ours = workflow.info().task_queue
    return cron_task_queue(Tenancy(ours)) if workflow.patched(_OWN_TASK_QUEUE) else ours


def _unix_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
