"""Schedules as functions see them."""

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.schedule.v1 import ScheduleActionResult
from temporalio.api.workflowservice.v1 import DescribeScheduleResponse
from temporalio.client import ScheduleOverlapPolicy

from bridge.engine.workflow_schedules import Execution, ScheduleRun, ScheduleView
from bridge.temporal.interop.schedule_specs import spec_view

__all__ = ["schedule_view"]


def schedule_view(schedule_id: str, namespace: str, found: DescribeScheduleResponse) -> ScheduleView:
    """Return a schedule as functions see it."""
    info, schedule = found.info, found.schedule
    action, policies, state = schedule.action.start_workflow, schedule.policies, schedule.state
    return ScheduleView(
        schedule_id=schedule_id,
        namespace=namespace,
        workflow=action.workflow_type.name,
        task_queue=action.task_queue.name,
        spec=spec_view(schedule.spec),
        overlap=ScheduleOverlapPolicy(policies.overlap_policy or ScheduleOverlapPolicy.SKIP).name.lower(),
        catchup_window_ms=policies.catchup_window.ToMilliseconds(),
        pause_on_failure=policies.pause_on_failure,
        paused=state.paused,
        note=state.notes or None,
        remaining_runs=state.remaining_actions if state.limited_actions else None,
        runs=info.action_count,
        missed=info.missed_catchup_window,
        skipped=info.overlap_skipped,
        running=[_execution(each) for each in info.running_workflows],
        recent=[_run(each) for each in info.recent_actions],
        next_at_ms=[each.ToMilliseconds() for each in info.future_action_times],
        created_at_ms=info.create_time.ToMilliseconds(),
        # A schedule that was never updated has no time here, or the year 1, as the server likes.
        updated_at_ms=max(info.update_time.ToMilliseconds(), 0) or None,
    )


def _execution(found: WorkflowExecution) -> Execution:
    return Execution(workflow_id=found.workflow_id, run_id=found.run_id)


def _run(found: ScheduleActionResult) -> ScheduleRun:
    return ScheduleRun(
        workflow_id=found.start_workflow_result.workflow_id,
        run_id=found.start_workflow_result.run_id,
        scheduled_at_ms=found.schedule_time.ToMilliseconds(),
        started_at_ms=found.actual_time.ToMilliseconds(),
    )
