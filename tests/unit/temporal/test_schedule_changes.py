"""What becomes of a schedule that is changed, and how a change that Temporal has dropped is known."""

import msgspec
import pytest
from temporalio.api.schedule.v1 import Schedule, ScheduleSpec
from temporalio.converter import DataConverter

from bridge.engine.workflow_schedules import BackfillSchedule, ChangeSchedule, CreateSchedule, Spec
from bridge.temporal.interop.schedule_changes import encoded, is_lost
from bridge.temporal.interop.schedule_specs import is_kept_as, spec_of

NIGHTLY = spec_of(Spec(cron=("0 3 * * *",), every_ms=60_000))


async def changed(schedule: Schedule, **change: object) -> Schedule:
    asked = ChangeSchedule(schedule_id="s", **change)
    return (await encoded(asked, DataConverter.default)).applied(schedule)


def kept(spec: ScheduleSpec) -> ScheduleSpec:
    """Return what Temporal makes of a spec: a calendar for each cron expression, with that as its comment."""
    made = ScheduleSpec()
    made.CopyFrom(spec)
    for text in made.cron_string:
        made.structured_calendar.add(comment=text.partition(" # ")[2])
    made.ClearField("cron_string")
    return made


async def test_a_change_that_is_in_force_is_not_lost() -> None:
    before = await changed(Schedule(), note="old", paused=True)
    sent = await changed(before, note="new")
    assert not is_lost(before, sent, sent)


async def test_a_change_of_which_nothing_shows_is_lost() -> None:
    before = await changed(Schedule(), note="old")
    sent = await changed(before, note="new")
    assert is_lost(before, sent, before)


async def test_a_change_is_lost_if_only_what_others_have_changed_shows() -> None:
    before = await changed(Schedule(), note="old", overlap="skip")
    sent = await changed(before, note="new")
    theirs = await changed(before, overlap="allow_all")
    assert is_lost(before, sent, theirs)


async def test_a_change_that_was_changed_again_since_is_not_lost() -> None:
    before = await changed(Schedule(), note="old")
    sent = await changed(before, note="new")
    assert not is_lost(before, sent, await changed(sent, note="newer"))


async def test_a_change_leaves_the_schedule_that_it_was_made_from() -> None:
    before = await changed(Schedule(), note="old")
    await changed(before, note="new")
    assert before.state.notes == "old"


def test_a_spec_is_known_in_the_form_in_which_temporal_keeps_it() -> None:
    assert is_kept_as(NIGHTLY, kept(NIGHTLY))


@pytest.mark.parametrize(
    "other",
    [
        Spec(cron=("0 4 * * *",), every_ms=60_000),
        Spec(cron=("0 3 * * *",)),
        Spec(cron=("0 3 * * *",), every_ms=60_000, time_zone="Europe/Berlin"),
        Spec(cron=("0 3 * * *", "0 4 * * *"), every_ms=60_000),
    ],
)
def test_another_spec_is_not_taken_for_the_one_that_is_kept(other: Spec) -> None:
    assert not is_kept_as(spec_of(other), kept(NIGHTLY))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "give `start_ms` and `end_ms`, or `ranges`"),
        ({"start_ms": 1, "end_ms": 2, "ranges": [{"start_ms": 1, "end_ms": 2}]}, "or `ranges`"),
        ({"start_ms": 2, "end_ms": 1}, "`end_ms` must be after `start_ms`"),
    ],
)
def test_times_to_make_up_for_are_checked(asked: dict[str, object], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert({"schedule_id": "s", **asked}, BackfillSchedule)


def test_a_new_schedule_needs_a_workflow_a_task_queue_and_times() -> None:
    schema = msgspec.json.schema(CreateSchedule)["$defs"]["CreateSchedule"]
    assert set(schema["required"]) == {"schedule_id", "workflow", "task_queue", "spec"}
