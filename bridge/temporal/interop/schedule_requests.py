"""Requests about schedules whose answers the SDK leaves out or does not ask for: conflicts, and times."""

import uuid
from datetime import timedelta

from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    ListScheduleMatchingTimesRequest,
    ListSchedulesRequest,
    ListSchedulesResponse,
    UpdateScheduleRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.workflow_schedules import TimeRange
from bridge.temporal.interop.schedule_changes import is_lost

__all__ = ["MOST_TIMES", "RPC_TIMEOUT", "count_times", "create", "describe", "list_page", "update"]

RPC_TIMEOUT = timedelta(seconds=10)
MOST_TIMES = 1000
"""As many times as Temporal tells of at once."""


async def create(client: Client, schedule_id: str, schedule: Schedule) -> None:
    """Create a schedule.

    Raises:
        RPCError: It is there already, or Temporal does not take it.
    """
    request = CreateScheduleRequest(
        namespace=client.namespace,
        schedule_id=schedule_id,
        schedule=schedule,
        identity=client.identity,
        request_id=str(uuid.uuid4()),
    )
    await client.workflow_service.create_schedule(request, retry=True, timeout=RPC_TIMEOUT)


async def describe(client: Client, schedule_id: str) -> DescribeScheduleResponse:
    """Return a schedule as it is.

    Raises:
        RPCError: There is none.
    """
    request = DescribeScheduleRequest(namespace=client.namespace, schedule_id=schedule_id)
    return await client.workflow_service.describe_schedule(request, retry=True, timeout=RPC_TIMEOUT)


async def update(client: Client, schedule_id: str, found: DescribeScheduleResponse, wanted: Schedule) -> bool:
    """Make what was found into what is wanted, and tell whether that was done.

    It is not if the schedule has changed since. The SDK's own update would undo that change.

    Raises:
        RPCError: There is no such schedule any more, or Temporal does not take what is wanted.
    """
    request = UpdateScheduleRequest(
        namespace=client.namespace,
        schedule_id=schedule_id,
        schedule=wanted,
        conflict_token=found.conflict_token,
        identity=client.identity,
        request_id=str(uuid.uuid4()),
    )
    try:
        await client.workflow_service.update_schedule(request, retry=True, timeout=RPC_TIMEOUT)
    except RPCError as exc:
        if exc.status is RPCStatusCode.FAILED_PRECONDITION:  # servers that tell of it
            return False
        raise
    return not is_lost(found.schedule, wanted, (await describe(client, schedule_id)).schedule)


async def list_page(client: Client, query: str, size: int, token: bytes | None) -> ListSchedulesResponse:
    """Return a page of the schedules that visibility finds.

    Raises:
        RPCError: Temporal does not take the query or the token.
    """
    request = ListSchedulesRequest(
        namespace=client.namespace, query=query, maximum_page_size=size, next_page_token=token or b""
    )
    return await client.workflow_service.list_schedules(request, retry=True, timeout=RPC_TIMEOUT)


async def count_times(client: Client, schedule_id: str, times: TimeRange) -> int:
    """Count the times of a schedule in a range, up to `MOST_TIMES`.

    Raises:
        RPCError: There is no such schedule.
    """
    request = ListScheduleMatchingTimesRequest(namespace=client.namespace, schedule_id=schedule_id)
    request.start_time.FromMilliseconds(times.start_ms - 1)  # the start itself is not told of
    request.end_time.FromMilliseconds(times.end_ms)
    found = await client.workflow_service.list_schedule_matching_times(
        request, retry=True, timeout=RPC_TIMEOUT
    )
    return len(found.start_time)
