"""A real server lists the fires of a schedule; `next_after` must know the same ones."""

from datetime import UTC, datetime, timedelta, tzinfo
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow

from bridge.builtins.cron.calendar import schedule_spec
from bridge.builtins.cron.expression import CronExpression, parse

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

LISTED_FIRES = 10  # the server describes no more
START = datetime(2032, 3, 4, 10, 20, 31, tzinfo=UTC)  # far enough ahead that nothing fires during the test


async def listed_by_temporal(
    client: Client, expression: CronExpression, start: datetime, timezone: str | None
) -> list[datetime]:
    spec = schedule_spec(expression, timezone=timezone)
    spec.start_at = start
    action = ScheduleActionStartWorkflow("never-started", id=str(uuid4()), task_queue="nobody")
    schedule = await client.create_schedule(str(uuid4()), Schedule(action=action, spec=spec))
    description = await schedule.describe()
    await schedule.delete()
    return list(description.info.next_action_times)


def known_here(expression: CronExpression, start: datetime, zone: tzinfo) -> list[datetime]:
    fires: list[datetime] = []
    fire = expression.next_after(start - timedelta(seconds=1), zone=zone)
    while fire is not None and len(fires) < LISTED_FIRES:
        fires.append(fire)
        fire = expression.next_after(fire, zone=zone)
    return fires


@pytest.mark.parametrize(
    "text",
    [
        "* * * * * *",
        "*/7 * * * * *",
        "0 */5 * * * *",
        "0 5/15 * * * *",
        "0 0 */6 * * *",
        "0 0 9 * * Mon",
        "0 0 9 * * 1",
        "0 0 9 * * 2",
        "0 0 9 * * 7",
        "0 0 9 * * 1-5 *",
        "0 0 9 ? * MON",
        "0 0 0 13 * Fri",
        "0 0 0 1 * ? 2030/2",
        "0 0 0 29 2 *",
        "0 0 0 1 1 ? 1998-2034",
        "0 0 0 1 1 ? 2098/1",
        "1,2,5,10-20/3,40/7 0,30 3-5 1-7,31 */5 *",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
    ],
)
async def test_fires_are_those_temporal_lists(client: Client, text: str) -> None:
    expression = parse(text)
    listed = await listed_by_temporal(client, expression, START, timezone=None)
    assert listed
    assert listed == known_here(expression, START, UTC)


@pytest.mark.parametrize(
    "text", ["0 0 0 31 2 *", "0 0 0 29 2 * 2099", "* * * * * * 2031", "* * * * * * 1999"]
)
async def test_a_schedule_that_never_fires_is_accepted(client: Client, text: str) -> None:
    expression = parse(text)
    assert await listed_by_temporal(client, expression, START, timezone=None) == []
    assert known_here(expression, START, UTC) == []


@pytest.mark.parametrize(
    ("timezone", "start"),
    [
        ("Asia/Kathmandu", START),
        ("Europe/Berlin", datetime(2031, 3, 29, 23, 0, tzinfo=UTC)),
        ("America/New_York", datetime(2031, 3, 9, 5, 0, tzinfo=UTC)),
        ("America/New_York", datetime(2031, 11, 2, 4, 0, tzinfo=UTC)),
    ],
)
async def test_clock_changes_are_read_as_temporal_reads_them(
    client: Client, timezone: str, start: datetime
) -> None:
    expression = parse("0 15,45 1-3 * * *")
    listed = await listed_by_temporal(client, expression, start, timezone)
    assert len(listed) == LISTED_FIRES
    assert listed == known_here(expression, start, ZoneInfo(timezone))
