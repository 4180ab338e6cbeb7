"""How our workflows call and wait: a cancelled call is a cancellation, a wait tells whether it was enough."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows.contract import Activity, Signal, Tenancy
from workflows.names import operations_task_queue

__all__ = ["call", "now_ms", "run_activity", "signal", "wait_until"]

_OWN_ACTIVITY_TIMEOUT = timedelta(seconds=30)
_OWN_RETRIES = RetryPolicy(maximum_interval=timedelta(seconds=30))


def now_ms() -> int:
    """Return the Unix time, as the workflow knows it."""
    return int(workflow.now().timestamp() * 1000)


async def wait_until(is_so: Callable[[], bool], at_most: timedelta | None) -> bool:
    """Wait for a condition, for ever if there is no limit; answers whether it came true in time."""
    if is_so():
        return True  # without a timer in the history
    try:
        await workflow.wait_condition(is_so, timeout=at_most)
    except TimeoutError:
        return False
    return True


async def run_activity(activity: str, *arguments: object, **options: Any) -> Any:
    """Run an activity.

    Raises:
        ActivityError: It failed.
        CancelledError: The workflow was cancelled. Temporal tells of it as a failure of the activity, which a
            `TaskGroup` would take for a failure of the workflow.
    """
    try:
        return await workflow.execute_activity(activity, args=arguments, **options)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise asyncio.CancelledError from error
        raise


async def call(
    tenancy: Tenancy, activity: Activity, *arguments: object, result_type: type | None = None
) -> Any:
    """Run an activity of our own, for as long as it takes to succeed."""
    return await run_activity(
        activity,
        *arguments,
        task_queue=operations_task_queue(tenancy),
        result_type=result_type,
        start_to_close_timeout=_OWN_ACTIVITY_TIMEOUT,
        retry_policy=_OWN_RETRIES,
    )


async def signal(workflow_id: str, name: Signal, *arguments: object) -> bool:
    """Signal a workflow; answers whether it was there."""
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(name, args=arguments)
    except ApplicationError:
        return False
    return True
