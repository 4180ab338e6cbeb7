"""The translation into Temporal's calendar specs."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.client import ScheduleRange

from bridge.builtins.cron.calendar import schedule_spec
from bridge.builtins.cron.expression import CronExpression, parse


def expanded(ranges: Sequence[ScheduleRange]) -> list[int]:
    return [value for part in ranges for value in range(part.start, part.end + 1, part.step)]


def some(minimum: int, maximum: int) -> st.SearchStrategy[tuple[int, ...]]:
    values = st.sets(st.integers(minimum, maximum), min_size=1)
    return values.map(lambda chosen: tuple(sorted(chosen)))


EXPRESSIONS = st.builds(
    CronExpression,
    some(0, 59),
    some(0, 59),
    some(0, 23),
    some(1, 31),
    some(1, 12),
    some(1, 7),
    st.none() | some(2000, 2100),
)


@given(EXPRESSIONS)
def test_ranges_hold_the_values_of_the_expression_once_each(expression: CronExpression) -> None:
    (calendar,) = schedule_spec(expression).calendars
    assert tuple(expanded(calendar.second)) == expression.seconds
    assert tuple(expanded(calendar.minute)) == expression.minutes
    assert tuple(expanded(calendar.hour)) == expression.hours
    assert tuple(expanded(calendar.day_of_month)) == expression.days_of_month
    assert tuple(expanded(calendar.month)) == expression.months
    assert tuple(day + 1 for day in expanded(calendar.day_of_week)) == expression.days_of_week
    assert tuple(expanded(calendar.year)) == (expression.years or ())


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ("*", [ScheduleRange(0, 59, 1)]),
        ("*/7", [ScheduleRange(0, 56, 7)]),
        ("5", [ScheduleRange(5)]),
        ("0", [ScheduleRange(0)]),
        ("8,9", [ScheduleRange(8, 9)]),
        ("0,5-7", [ScheduleRange(0), ScheduleRange(5, 7)]),
        ("0-3,10/20", [ScheduleRange(0, 3), ScheduleRange(10, 50, 20)]),
        ("1,30", [ScheduleRange(1), ScheduleRange(30)]),
    ],
)
def test_regular_values_become_one_range(minutes: str, expected: list[ScheduleRange]) -> None:
    (calendar,) = schedule_spec(parse(f"0 {minutes} * * * *")).calendars
    assert calendar.minute == expected


def test_sunday_is_zero_for_temporal() -> None:
    (calendar,) = schedule_spec(parse("0 0 0 ? * SUN,SAT")).calendars
    assert expanded(calendar.day_of_week) == [0, 6]


def test_years_before_those_of_temporal_are_left_out() -> None:
    (calendar,) = schedule_spec(parse("0 0 0 1 1 ? 1998-2001")).calendars
    assert calendar.year == [ScheduleRange(2000, 2001)]


def test_only_ancient_years_never_fire_instead_of_every_year() -> None:
    spec = schedule_spec(
        parse("0 0 0 1 1 ? 1970-1999"), timezone="Europe/Berlin", jitter=timedelta(seconds=3)
    )
    assert spec.calendars == []
    assert (spec.time_zone_name, spec.jitter) == ("Europe/Berlin", timedelta(seconds=3))


def test_zone_and_jitter_are_passed_on() -> None:
    spec = schedule_spec(parse("@daily"), timezone="Europe/Berlin", jitter=timedelta(seconds=3))
    assert (spec.time_zone_name, spec.jitter) == ("Europe/Berlin", timedelta(seconds=3))


def test_without_a_zone_temporal_reads_the_fields_in_utc() -> None:
    assert schedule_spec(parse("@daily")).time_zone_name is None
