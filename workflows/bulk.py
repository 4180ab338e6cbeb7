"""A bulk operation on dead letters: goes on whatever happens to bridges, and keeps its report."""

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from workflows.calls import now_ms, run_activity
from workflows.contract import Activity, BulkReport, BulkStart, WorkflowType
from workflows.names import operations_task_queue

__all__ = ["Bulk"]

_LONGEST = timedelta(days=30)
_RETRIES = RetryPolicy(maximum_interval=timedelta(seconds=30))


@workflow.defn(name=WorkflowType.BULK)
class Bulk:
    """Settles dead letters, the oldest first.

    All of it is one activity, whose progress is in its heartbeats: it can begin anew as often as it must,
    because a letter that it has settled before tells so again.
    """

    @workflow.run
    async def run(self, start: BulkStart) -> BulkReport:
        """Settle the dead letters and return the report; a cancelled one returns what it has done."""
        report: BulkReport = await run_activity(
            Activity.SETTLE_DEAD_LETTERS,
            replace(start, began_at_ms=now_ms()),
            result_type=BulkReport,
            task_queue=operations_task_queue(start.tenancy),
            start_to_close_timeout=_LONGEST,
            heartbeat_timeout=timedelta(milliseconds=start.heartbeat_timeout_ms),
            retry_policy=_RETRIES,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        workflow.set_current_details(
            f"{start.decision.removeprefix('iii.')}: {report.done} of {report.matched} done, "
            f"{report.skipped} skipped, {report.failed} failed"
        )
        return report
