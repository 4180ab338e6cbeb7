"""One fire of a cron trigger, started by its Temporal Schedule (docs/architecture.md)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

from workflows.contract import Activity, CronFire, CronTick, WorkflowType

__all__ = ["CronFireWorkflow"]

_SCHEDULED_START = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn(name=WorkflowType.CRON_FIRE)
class CronFireWorkflow:
    """Runs the trigger's function once; as in iii, a failure is recorded and not retried."""

    @workflow.run
    async def run(self, fire: CronFire) -> str:
        """Fire.

        Returns:
            `ran` or `skipped`; the latter when the trigger's condition objected.
        """
        scheduled = workflow.info().typed_search_attributes.get(_SCHEDULED_START, workflow.now())
        result: str = await workflow.execute_activity(
            Activity.FIRE_CRON,
            CronTick(fire, int(scheduled.timestamp() * 1000)),
            result_type=str,
            start_to_close_timeout=timedelta(milliseconds=fire.timeout_ms),
            heartbeat_timeout=timedelta(milliseconds=fire.heartbeat_timeout_ms),
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=fire.function_id,
        )
        return result
