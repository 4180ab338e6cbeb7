"""Cron expressions as Temporal calendar specs (design §8)."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from temporalio.client import ScheduleCalendarSpec, ScheduleRange, ScheduleSpec

from bridge.builtins.cron.expression import CronExpression

FIRST_TEMPORAL_YEAR = 2000
_WORTH_A_STEP = 3


def schedule_spec(
    expression: CronExpression, *, timezone: str | None = None, jitter: timedelta | None = None
) -> ScheduleSpec:
    """Translate an expression into the spec of a schedule that fires exactly when it matches.

    One exception is Temporal's: when a zone with an offset of zero or more in winter sets its clock back
    (Europe/Berlin, Europe/London, not America/New_York), server 1.32 passes over some matches within and
    up to an hour after the repeated stretch.

    Args:
        expression: The parsed trigger expression.
        timezone: An IANA name; UTC when None. Temporal checks that it exists.
        jitter: The longest random delay of each fire.

    Returns:
        A spec with one calendar, or with none if every year lies before those Temporal knows: such a
        schedule exists and never fires, as in iii (spec 05 §1.2).
    """
    years = [year for year in expression.years or () if year >= FIRST_TEMPORAL_YEAR]
    if expression.years is not None and not years:
        return ScheduleSpec(time_zone_name=timezone, jitter=jitter)
    calendar = ScheduleCalendarSpec(
        second=_ranges(expression.seconds),
        minute=_ranges(expression.minutes),
        hour=_ranges(expression.hours),
        day_of_month=_ranges(expression.days_of_month),
        month=_ranges(expression.months),
        day_of_week=_ranges([day - 1 for day in expression.days_of_week]),  # Temporal's Sunday is 0
        year=_ranges(years),  # no range means every year
    )
    return ScheduleSpec(calendars=[calendar], time_zone_name=timezone, jitter=jitter)


def _ranges(values: Sequence[int]) -> list[ScheduleRange]:
    """Cover sorted values with few ranges, each as long as its first step carries."""
    return list(_runs(values))


def _runs(values: Sequence[int]) -> Iterator[ScheduleRange]:
    start = 0
    while start < len(values):
        stop = _end_of_run(values, start)
        step = values[start + 1] - values[start] if stop - start > 1 else 1
        if step > 1 and stop - start < _WORTH_A_STEP:
            stop, step = start + 1, 1  # two distant values: the second may begin a longer run
        yield ScheduleRange(values[start], values[stop - 1], step)
        start = stop


def _end_of_run(values: Sequence[int], start: int) -> int:
    stop = start + 1
    while stop < len(values) and values[stop] - values[stop - 1] == values[start + 1] - values[start]:
        stop += 1
    return stop
