from datetime import UTC, datetime, timedelta

import click
import pytest

from bridge.cli.cron_times import COUNTED, count_fires, read_time
from workflows.contract import CronFire

DAY = datetime(2026, 3, 4, tzinfo=UTC)


def fires(expression: str, *, timezone: str = "UTC", days: float = 1) -> tuple[int, str]:
    fire = CronFire("key", "reports::nightly", expression, timezone)
    return count_fires(fire, DAY, DAY + timedelta(days=days))


@pytest.mark.parametrize(
    ("expression", "count", "words"),
    [
        ("0 0 * * * *", 25, "25 times"),  # midnight counts on both days
        ("0 0 9 * * *", 1, "once"),
        ("0 0 9 * * Mon", 0, "0 times"),
        ("* * * * * *", COUNTED + 1, "more than 10,000 times"),
        ("0 0 0 31 2 *", 0, "0 times"),
    ],
)
def test_both_ends_count_and_large_numbers_are_not_counted_out(
    expression: str, count: int, words: str
) -> None:
    assert fires(expression) == (count, words)


def test_fires_are_counted_on_the_clock_of_the_schedule() -> None:
    # Clocks in Berlin skip 02:30 on 29 March 2026.
    assert fires("0 30 2 29 3 *", timezone="Europe/Berlin", days=60) == (0, "0 times")
    assert fires("0 30 2 29 3 *", days=60) == (1, "once")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04", DAY),
        ("2026-03-04T01:00+01:00", DAY),
        ("2026-03-04T00:00:00Z", DAY),
    ],
)
def test_a_time_without_an_offset_is_utc(text: str, moment: datetime) -> None:
    assert read_time("--from", text) == moment


def test_what_is_no_time_is_refused_with_an_example() -> None:
    with pytest.raises(click.BadParameter, match="write for example 2026-11-01"):
        read_time("--from", "yesterday")
