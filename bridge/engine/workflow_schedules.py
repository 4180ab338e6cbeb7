"""Schedules of other people's workflows, as functions see them: what `temporal::schedule::*` is about.

Times are Unix times, spans are spans, both in milliseconds.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from bridge.engine.workflows import Arguments, Attributes, Retry, Span, Text, UnixMilliseconds
from bridge.protocol.payload import ABSENT, absent

__all__ = [
    "BackfillSchedule",
    "Backfilled",
    "Calendar",
    "CalendarView",
    "ChangeSchedule",
    "CreateSchedule",
    "Execution",
    "Interval",
    "ListSchedules",
    "PauseSchedule",
    "Range",
    "ScheduleChanges",
    "SchedulePage",
    "ScheduleRun",
    "ScheduleView",
    "Schedules",
    "Spec",
    "SpecView",
    "TimeRange",
    "TriggerSchedule",
    "WhichSchedule",
]

_NO_CRON = re.compile(r"@every|.*[#=]")

Number = Annotated[int, msgspec.Meta(ge=0, le=9999)]
Step = Annotated[int, msgspec.Meta(ge=1, le=9999)]
Offset = Annotated[int, msgspec.Meta(ge=0)]
Runs = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers from `start` to `end`, both included."""

    start: Number
    end: Number
    step: Step = 1


Numbers = tuple[Number | Range, ...]


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Times whose every part is among the numbers; no `year` is every one, and Sunday is 0."""

    second: Numbers = (0,)
    minute: Numbers = (0,)
    hour: Numbers = (0,)
    day_of_month: Numbers = (Range(start=1, end=31),)
    month: Numbers = (Range(start=1, end=12),)
    day_of_week: Numbers = (Range(start=0, end=6),)
    year: Numbers = ()


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Every so often since 1970, and so much later."""

    every_ms: Span
    offset_ms: Offset = 0


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule starts its workflow: at all times that any part names, but for those in `skip`."""

    cron: tuple[Text, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    every_ms: Span | None = None
    intervals: tuple[Interval, ...] = ()
    skip: tuple[Calendar, ...] = ()
    start_at_ms: UnixMilliseconds | None = None
    end_at_ms: UnixMilliseconds | None = None
    jitter_ms: Span | None = None
    time_zone: Text | None = None

    def __post_init__(self) -> None:
        if not (self.cron or self.calendars or self.intervals) and self.every_ms is None:
            raise ValueError("give `cron`, `calendars`, `every_ms` or `intervals`")
        if odd := [text for text in self.cron if _NO_CRON.match(text)]:
            raise ValueError(
                f"`{odd[0]}` is more than a cron expression; for `@every` there is `every_ms`, for `TZ=` "
                "there is `time_zone`, and comments are not kept"
            )


class WhichSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    schedule_id: Text
    namespace: Text | None = None


class PauseSchedule(WhichSchedule, frozen=True, kw_only=True):
    """A schedule to pause or to resume, and why."""

    note: str | None = None


class TriggerSchedule(WhichSchedule, frozen=True, kw_only=True):
    """A schedule to start its workflow; `overlap` counts instead of its own this time."""

    overlap: Overlap | None = None


class ScheduleChanges(Arguments, WhichSchedule, frozen=True, kw_only=True):
    """What a schedule starts and when; what is not given stays as it is, and `null` removes it."""

    input: msgspec.Raw = msgspec.field(default_factory=absent)
    args: tuple[msgspec.Raw, ...] | None = None

    workflow: Text | UnsetType = UNSET
    task_queue: Text | UnsetType = UNSET
    execution_timeout_ms: Span | UnsetType | None = UNSET
    run_timeout_ms: Span | UnsetType | None = UNSET
    task_timeout_ms: Span | UnsetType | None = UNSET
    retry: Retry | UnsetType | None = UNSET
    memo: Mapping[str, msgspec.Raw] | UnsetType = UNSET
    search_attributes: Attributes | UnsetType = UNSET
    spec: Spec | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    catchup_window_ms: Span | UnsetType = UNSET
    pause_on_failure: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    note: str | UnsetType | None = UNSET
    remaining_runs: Runs | UnsetType | None = UNSET

    @property
    def has_arguments(self) -> bool:
        """Whether the workflow is given something else than before."""
        return self.input != ABSENT or self.args is not None


class ChangeSchedule(ScheduleChanges, frozen=True, kw_only=True):
    """A schedule to change."""


class CreateSchedule(ScheduleChanges, frozen=True, kw_only=True):
    """A schedule that starts a workflow."""

    workflow: Text
    task_queue: Text
    spec: Spec


class TimeRange(msgspec.Struct, frozen=True, kw_only=True):
    """The times between two, both included."""

    start_ms: UnixMilliseconds
    end_ms: UnixMilliseconds

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError("`end_ms` must be after `start_ms`")


class BackfillSchedule(WhichSchedule, frozen=True, kw_only=True):
    """Times to make up for: from `start_ms` to `end_ms`, or several `ranges`."""

    start_ms: UnixMilliseconds | None = None
    end_ms: UnixMilliseconds | None = None
    ranges: Annotated[tuple[TimeRange, ...], msgspec.Meta(max_length=100)] = ()
    overlap: Overlap | None = None

    def __post_init__(self) -> None:
        is_one = self.start_ms is not None and self.end_ms is not None
        if is_one == bool(self.ranges):
            raise ValueError("give `start_ms` and `end_ms`, or `ranges`")
        self.times  # noqa: B018 - which checks them

    @property
    def times(self) -> tuple[TimeRange, ...]:
        """The ranges."""
        if self.start_ms is None or self.end_ms is None:
            return self.ranges
        return (TimeRange(start_ms=self.start_ms, end_ms=self.end_ms),)


class ListSchedules(msgspec.Struct, frozen=True, kw_only=True):
    """A page of schedules; `cursor` is the `next` of the page before."""

    workflow: Text | None = None
    task_queue: Text | None = None
    schedule_id_prefix: Text | None = None
    paused: bool | None = None
    namespace: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    cursor: str | None = None


class CalendarView(Calendar, frozen=True, kw_only=True, omit_defaults=False):
    """A calendar; made of a cron expression, it has that as its comment."""

    comment: str | None = None


class SpecView(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule starts its workflow, as Temporal keeps it: cron expressions have become calendars."""

    calendars: list[CalendarView]
    intervals: list[Interval]
    skip: list[CalendarView]
    start_at_ms: int | None
    end_at_ms: int | None
    jitter_ms: int | None
    time_zone: str | None


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that a schedule has started."""

    workflow_id: str
    run_id: str


class ScheduleRun(Execution, frozen=True, kw_only=True):
    """A workflow that a schedule has started: for which time, and when in fact."""

    scheduled_at_ms: int
    started_at_ms: int


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is; `running` and `recent` have the oldest first."""

    schedule_id: str
    namespace: str
    workflow: str
    task_queue: str
    spec: SpecView
    overlap: str
    catchup_window_ms: int
    pause_on_failure: bool
    paused: bool
    note: str | None
    remaining_runs: int | None
    runs: int
    missed: int
    skipped: int
    running: list[Execution]
    recent: list[ScheduleRun]
    next_at_ms: list[int]
    created_at_ms: int
    updated_at_ms: int | None


class SchedulePage(msgspec.Struct, frozen=True):
    """Schedules, and where the next page begins."""

    schedules: list[ScheduleView]
    next: str | None


class Backfilled(msgspec.Struct, frozen=True):
    """How many times there were to make up for."""

    times: int


class Schedules(Protocol):
    """Schedules of other people's workflows. Everything raises `FunctionFailedError` with its own code."""

    async def create(self, asked: CreateSchedule) -> None:
        """Create one."""

    async def update(self, asked: ChangeSchedule) -> None:
        """Change one."""

    async def describe(self, asked: WhichSchedule) -> ScheduleView:
        """Describe one."""

    async def list(self, asked: ListSchedules) -> SchedulePage:
        """List some."""

    async def pause(self, asked: PauseSchedule) -> None:
        """Let one start nothing for a while."""

    async def resume(self, asked: PauseSchedule) -> None:
        """Let one go on."""

    async def trigger(self, asked: TriggerSchedule) -> None:
        """Have one start its workflow now."""

    async def backfill(self, asked: BackfillSchedule) -> Backfilled:
        """Have one start its workflow for times of the past."""

    async def delete(self, asked: WhichSchedule) -> None:
        """Delete one; what it has started runs on."""
