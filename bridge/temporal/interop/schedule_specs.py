"""When schedules start their workflows: as functions say it, and as Temporal keeps it."""

from collections.abc import Iterable

from temporalio.api.schedule.v1 import IntervalSpec, ScheduleSpec, StructuredCalendarSpec
from temporalio.api.schedule.v1 import Range as TemporalRange

from bridge.engine.workflow_schedules import Calendar, CalendarView, Interval, Range, Spec, SpecView

__all__ = ["is_kept_as", "spec_of", "spec_view"]

_PARTS = ("second", "minute", "hour", "day_of_month", "month", "day_of_week", "year")


def spec_of(asked: Spec) -> ScheduleSpec:
    """Return a spec as Temporal takes it."""
    intervals = [*([Interval(every_ms=asked.every_ms)] if asked.every_ms else []), *asked.intervals]
    spec = ScheduleSpec(
        cron_string=[_with_comment(text.strip()) for text in asked.cron],
        structured_calendar=[_calendar(each) for each in asked.calendars],
        exclude_structured_calendar=[_calendar(each) for each in asked.skip],
        interval=[_interval(each) for each in intervals],
        timezone_name=asked.time_zone or "",
    )
    if asked.start_at_ms is not None:
        spec.start_time.FromMilliseconds(asked.start_at_ms)
    if asked.end_at_ms is not None:
        spec.end_time.FromMilliseconds(asked.end_at_ms)
    if asked.jitter_ms is not None:
        spec.jitter.FromMilliseconds(asked.jitter_ms)
    return spec


def is_kept_as(asked: ScheduleSpec, kept: ScheduleSpec) -> bool:
    """Tell whether Temporal keeps a spec in this form: with a calendar for each cron expression."""
    compiled = ScheduleSpec()
    compiled.CopyFrom(kept)
    compiled.cron_string.extend(
        _with_comment(each.comment) for each in kept.structured_calendar[len(asked.structured_calendar) :]
    )
    del compiled.structured_calendar[len(asked.structured_calendar) :]
    return compiled == asked


def spec_view(kept: ScheduleSpec) -> SpecView:
    """Return a spec as functions see it."""
    return SpecView(
        calendars=[_calendar_view(each) for each in kept.structured_calendar],
        intervals=[
            Interval(every_ms=each.interval.ToMilliseconds(), offset_ms=each.phase.ToMilliseconds())
            for each in kept.interval
        ],
        skip=[_calendar_view(each) for each in kept.exclude_structured_calendar],
        start_at_ms=kept.start_time.ToMilliseconds() if kept.HasField("start_time") else None,
        end_at_ms=kept.end_time.ToMilliseconds() if kept.HasField("end_time") else None,
        jitter_ms=kept.jitter.ToMilliseconds() if kept.HasField("jitter") else None,
        time_zone=kept.timezone_name or None,
    )


def _with_comment(text: str) -> str:
    """Return a cron expression with itself as the comment: Temporal keeps that, and not the expression."""
    return f"{text} # {text}"


def _interval(asked: Interval) -> IntervalSpec:
    interval = IntervalSpec()
    interval.interval.FromMilliseconds(asked.every_ms)
    if asked.offset_ms:
        interval.phase.FromMilliseconds(asked.offset_ms)
    return interval


def _calendar(asked: Calendar) -> StructuredCalendarSpec:
    calendar = StructuredCalendarSpec()
    for name in _PARTS:
        getattr(calendar, name).extend(map(_range, getattr(asked, name)))
    return calendar


def _range(asked: int | Range) -> TemporalRange:
    if isinstance(asked, int):
        return TemporalRange(start=asked, end=asked, step=1)
    return TemporalRange(start=asked.start, end=asked.end, step=asked.step)


def _calendar_view(kept: StructuredCalendarSpec) -> CalendarView:
    parts = {name: _numbers(getattr(kept, name)) for name in _PARTS}
    return CalendarView(comment=kept.comment or None, **parts)


def _numbers(kept: Iterable[TemporalRange]) -> tuple[int | Range, ...]:
    return tuple(
        each.start if each.end <= each.start else Range(start=each.start, end=each.end, step=each.step or 1)
        for each in kept
    )
