"""`temporal::schedule::*`: functions keep schedules of other people's workflows (docs/interop.md)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from bridge.temporal.interop import schedule_requests
from tests.support.fake_sdk import CallFailed, FakeSdk
from tests.support.running_bridge import RunningBridge, StartBridge
from tests.support.temporal_server import temporal_server
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

Ask = Callable[..., Awaitable[Any]]

HOUR_MS = 3_600_000
MIDNIGHT_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
EVERY_DAY = {"start": 1, "end": 31, "step": 1}
EVERY_MONTH = {"start": 1, "end": 12, "step": 1}
MONDAY_TO_FRIDAY = {"start": 1, "end": 5, "step": 1}
ANY_WEEKDAY = {"start": 0, "end": 6, "step": 1}

NEXT_SCHEDULER = (
    "history.enableChasm=true",
    "history.enableCHASMSchedulerCreation=true",
    "history.enableCHASMSchedulerRouting=true",
    "history.chasmSchedulerCreationRolloutPercent=100",
)
"""What has a server keep schedules in the way that follows on workflows of its own."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["workflow", "chasm"])
async def temporal_address(request: pytest.FixtureRequest, temporal_address: str) -> AsyncIterator[str]:
    """A server that keeps schedules in the one way, and one that does in the other."""
    if request.param == "workflow":
        yield temporal_address
        return
    options = [word for value in NEXT_SCHEDULER for word in ("--dynamic-config-value", value)]
    async with temporal_server(options=options) as address:
        yield address


@pytest.fixture
async def allowing(start_bridge: StartBridge, foreign_queue: str) -> RunningBridge:
    return await start_bridge(
        interop={
            "workflows": [
                {"workflow": "Order*", "task_queue": foreign_queue},
                {"workflow": "Report", "task_queue": foreign_queue},
            ]
        }
    )


@pytest.fixture
async def worker(allowing: RunningBridge) -> FakeSdk:
    return await allowing.connect()


@pytest.fixture
def schedule_id() -> str:
    return f"nightly-{uuid.uuid4()}"


@pytest.fixture
def ask(worker: FakeSdk, schedule_id: str) -> Ask:
    """Call a function on the test's schedule."""

    async def call(name: str, **asked: Any) -> Any:
        return await worker.trigger(f"temporal::schedule::{name}", {"schedule_id": schedule_id, **asked})

    return call


@pytest.fixture
def create(ask: Ask, foreign_queue: str) -> Ask:
    async def created(**asked: Any) -> None:
        defaults = {
            "workflow": "OrderWorkflow",
            "task_queue": foreign_queue,
            "spec": {"cron": ["0 3 * * *"]},
        }
        await ask("create", **{**defaults, **asked})

    return created


@pytest.fixture
def forbidden(temporal: Client, foreign_queue: str) -> Callable[..., Awaitable[str]]:
    """Make a schedule of somebody else's, for what no rule allows; return its id."""

    async def made(workflow: str = "Secret", task_queue: str = foreign_queue, **options: Any) -> str:
        name = f"theirs-{uuid.uuid4()}"
        action = ScheduleActionStartWorkflow(workflow, id=name, task_queue=task_queue)
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(hours=1))])
        await temporal.create_schedule(options.get("id", name), Schedule(action=action, spec=spec))
        return str(options.get("id", name))

    return made


async def code(asking: Awaitable[Any]) -> str:
    """Return the code that something asked for fails with."""
    with pytest.raises(CallFailed) as caught:
        await asking
    return caught.value.code


async def test_a_schedule_is_created_paused_resumed_triggered_and_deleted(
    worker: FakeSdk, ask: Ask, create: Ask, schedule_id: str
) -> None:
    await create()
    assert await code(create()) == "schedule_already_exists"
    await ask("pause", note="holiday")
    seen = await ask("describe")
    assert (seen["paused"], seen["note"], seen["workflow"]) == (True, "holiday", "OrderWorkflow")
    assert seen["next_at_ms"]
    await ask("resume")
    await ask("trigger", overlap="allow_all")

    async def ran() -> bool:
        wanted = {"workflow_id_prefix": schedule_id, "status": "completed"}
        return bool((await worker.trigger("temporal::count", wanted))["count"] == 1)

    await eventually(ran)
    (run,) = (await ask("describe"))["recent"]
    assert run["workflow_id"].startswith(schedule_id)
    assert uuid.UUID(run["run_id"])
    assert run["started_at_ms"] >= run["scheduled_at_ms"] > MIDNIGHT_MS
    await ask("delete")
    assert await code(ask("describe")) == "not_found"


async def test_a_description_tells_all_that_a_schedule_was_created_with(
    ask: Ask, create: Ask, foreign_queue: str
) -> None:
    spec = {
        "cron": ["0 3 * * *"],
        "calendars": [{"hour": [9, {"start": 12, "end": 16, "step": 2}], "day_of_week": [MONDAY_TO_FRIDAY]}],
        "every_ms": HOUR_MS,
        "intervals": [{"every_ms": 24 * HOUR_MS, "offset_ms": HOUR_MS}],
        "skip": [{"month": [12], "day_of_month": [24]}],
        "start_at_ms": MIDNIGHT_MS,
        "end_at_ms": MIDNIGHT_MS + 24 * HOUR_MS,
        "jitter_ms": 5000,
        "time_zone": "Europe/Berlin",
    }
    await create(
        spec=spec,
        overlap="buffer_one",
        catchup_window_ms=HOUR_MS,
        pause_on_failure=True,
        paused=True,
        note="not yet",
        remaining_runs=3,
    )
    seen = await ask("describe")
    every = {
        "second": [0],
        "minute": [0],
        "day_of_month": [EVERY_DAY],
        "month": [EVERY_MONTH],
        "day_of_week": [ANY_WEEKDAY],
        "year": [],
        "comment": None,
    }
    assert seen["spec"] == {
        "calendars": [
            {
                **every,
                "hour": [9, {"start": 12, "end": 16, "step": 2}],
                "day_of_week": [MONDAY_TO_FRIDAY],
            },
            {**every, "hour": [3], "comment": "0 3 * * *"},
        ],
        "intervals": [
            {"every_ms": HOUR_MS, "offset_ms": 0},
            {"every_ms": 24 * HOUR_MS, "offset_ms": HOUR_MS},
        ],
        "skip": [{**every, "hour": [0], "month": [12], "day_of_month": [24]}],
        "start_at_ms": MIDNIGHT_MS,
        "end_at_ms": MIDNIGHT_MS + 24 * HOUR_MS,
        "jitter_ms": 5000,
        "time_zone": "Europe/Berlin",
    }
    assert seen["task_queue"] == foreign_queue
    assert seen["namespace"] == "default"
    told = ("overlap", "catchup_window_ms", "pause_on_failure", "paused", "note", "remaining_runs")
    assert [seen[key] for key in told] == ["buffer_one", HOUR_MS, True, True, "not yet", 3]
    counted = ("runs", "missed", "skipped", "running", "recent", "updated_at_ms")
    assert [seen[key] for key in counted] == [0, 0, 0, [], [], None]


async def test_what_was_described_is_taken_back_as_no_change(ask: Ask, create: Ask) -> None:
    await create(spec={"calendars": [{"hour": [3], "year": [2030]}], "every_ms": HOUR_MS, "time_zone": "UTC"})
    await ask("update", spec=(await ask("describe"))["spec"])
    assert (await ask("describe"))["updated_at_ms"] is None


CHANGES: dict[str, tuple[Any, Any]] = {
    "spec": ({"cron": ["0 4 * * *", " @daily "], "jitter_ms": 1000}, {"every_ms": HOUR_MS}),
    "overlap": ("allow_all", "skip"),
    "catchup_window_ms": (HOUR_MS, 2 * HOUR_MS),
    "pause_on_failure": (True, False),
    "paused": (True, False),
    "note": ("a note", None),
    "remaining_runs": (7, None),
    "workflow": ("Report", "OrderWorkflow"),
    "execution_timeout_ms": (60_000, None),
    "run_timeout_ms": (60_000, None),
    "task_timeout_ms": (5_000, None),
    "retry": ({"max_attempts": 3}, None),
    "memo": ({"a": {"b": 1}}, {}),
    "search_attributes": ({"IiiQueue": "lamps"}, {}),
    "input": ({"lamp": 1}, None),
    "args": ([1, 2], []),
}


@pytest.mark.parametrize("key", CHANGES)
async def test_an_update_changes_what_is_given_and_a_second_time_nothing(
    ask: Ask, create: Ask, temporal: Client, schedule_id: str, key: str
) -> None:
    await create()

    async def kept() -> Any:
        return (await temporal.get_schedule_handle(schedule_id).describe()).raw_description.schedule

    states = [await kept()]
    for value in CHANGES[key]:
        await ask("update", **{key: value})
        states.append(await kept())
        await ask("update", **{key: value})
        assert await kept() == states[-1]
    assert states[1] != states[0]
    assert states[2] != states[1]
    for state in states[1:]:  # and nothing else
        for part in {"spec", "policies", "state"} - {PART_OF.get(key, "action")}:
            assert getattr(state, part) == getattr(states[0], part)


PART_OF = {
    "spec": "spec",
    "overlap": "policies",
    "catchup_window_ms": "policies",
    "pause_on_failure": "policies",
    "paused": "state",
    "note": "state",
    "remaining_runs": "state",
}


async def test_a_changed_input_is_what_the_next_workflow_gets(
    worker: FakeSdk, ask: Ask, create: Ask, schedule_id: str
) -> None:
    await create(input={"lamp": 1})
    await ask("update", input={"lamp": 2})
    await ask("trigger")

    async def ran() -> Any:
        return (await ask("describe"))["recent"]

    (run,) = await eventually(ran)
    end = await worker.trigger("temporal::result", {"workflow_id": run["workflow_id"]})
    assert end["result"]["order"] == {"lamp": 2}
    assert run["workflow_id"].startswith(schedule_id)


async def test_updates_at_the_same_time_all_count(ask: Ask, create: Ask) -> None:
    await create()
    wanted: dict[str, Any] = {
        "overlap": "allow_all",
        "note": "all of us",
        "catchup_window_ms": HOUR_MS,
        "remaining_runs": 9,
        "pause_on_failure": True,
    }
    patient = [_patiently(ask, {key: value}) for key, value in wanted.items()]
    await asyncio.gather(*patient, _patiently(ask, {"spec": {"cron": ["0 5 * * *"]}}))
    seen = await ask("describe")
    assert {key: seen[key] for key in wanted} == wanted
    assert [each["comment"] for each in seen["spec"]["calendars"]] == ["0 5 * * *"]


async def _patiently(ask: Ask, change: dict[str, Any]) -> None:
    """Update as a caller does that tries again after a conflict."""
    while True:
        try:
            return await ask("update", **change)
        except CallFailed as exc:
            assert exc.code == "schedule_conflict"  # noqa: PT017 - others raise


@pytest.mark.parametrize("change", [{"workflow": "Secret"}, {"task_queue": "elsewhere"}])
async def test_an_update_cannot_lead_out_of_what_is_allowed(
    ask: Ask, create: Ask, change: dict[str, str]
) -> None:
    await create()
    before = await ask("describe")
    assert await code(ask("update", **change)) == "FORBIDDEN"
    assert await ask("describe") == before


async def test_schedules_that_no_rule_allows_are_neither_changed_nor_backfilled_nor_listed(
    worker: FakeSdk,
    ask: Ask,
    create: Ask,
    forbidden: Callable[..., Awaitable[str]],
    prefix: str,
    schedule_id: str,
) -> None:
    await create()
    theirs = [
        await forbidden(),
        await forbidden(workflow="OrderWorkflow", task_queue="elsewhere"),
        await forbidden(workflow="OrderWorkflow", task_queue=prefix),
        await forbidden(workflow="OrderWorkflow", id=f"{prefix}.cron/mine"),
    ]
    times = {"start_ms": MIDNIGHT_MS, "end_ms": MIDNIGHT_MS + HOUR_MS}
    for name in theirs:
        assert await code(ask("update", schedule_id=name, note="mine now")) == "FORBIDDEN"
        assert await code(ask("backfill", schedule_id=name, **times)) == "FORBIDDEN"

    async def seen() -> list[str] | None:
        found = await _listed(worker)
        return found if schedule_id in found else None

    assert not set(theirs) & set(await eventually(seen))


async def test_lists_can_be_narrowed_and_go_on_where_they_stopped(
    worker: FakeSdk, ask: Ask, create: Ask, foreign_queue: str
) -> None:
    start = f"s{uuid.uuid4().hex}"
    for name, asked in {
        "a": {"paused": True, "note": "resting"},
        "b": {"workflow": "Report"},
        "c": {"workflow": "OrderOther"},
    }.items():
        await create(schedule_id=f"{start}-{name}", **asked)

    async def found(**asked: Any) -> set[str]:
        names = await _listed(worker, schedule_id_prefix=start, **asked)
        return {name.removeprefix(f"{start}-") for name in names}

    async def all_are_listed() -> bool:
        return await found() == {"a", "b", "c"}

    await eventually(all_are_listed)
    await eventually(lambda: _equal(found(paused=True), {"a"}))
    assert await found(paused=False) == {"b", "c"}
    assert await found(workflow="Order*") == {"a", "c"}
    assert await found(workflow="Report", task_queue=foreign_queue) == {"b"}
    assert await found(task_queue="elsewhere*") == set()
    assert await found(limit=1) == {"a", "b", "c"}
    page = await worker.trigger("temporal::schedule::list", {"schedule_id_prefix": f"{start}-a"})
    assert page == {"schedules": [await ask("describe", schedule_id=f"{start}-a")], "next": None}
    await ask("delete", schedule_id=f"{start}-a")
    assert "a" not in await found()


async def _equal(asking: Awaitable[Any], wanted: Any) -> bool:
    return bool(await asking == wanted)


async def _listed(worker: FakeSdk, **asked: Any) -> list[str]:
    """Return the ids on all pages."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = await worker.trigger("temporal::schedule::list", {**asked, "cursor": cursor})
        names += [each["schedule_id"] for each in page["schedules"]]
        cursor = page["next"]
        if cursor is None:
            return names


async def test_a_backfill_starts_the_workflow_for_each_time_of_the_ranges(ask: Ask, create: Ask) -> None:
    await create(spec={"every_ms": HOUR_MS}, paused=True)
    ranges = [
        {"start_ms": MIDNIGHT_MS, "end_ms": MIDNIGHT_MS + HOUR_MS},
        {"start_ms": MIDNIGHT_MS + 5 * HOUR_MS, "end_ms": MIDNIGHT_MS + 6 * HOUR_MS - 1},
    ]
    assert await ask("backfill", ranges=ranges, overlap="allow_all") == {"times": 3}

    async def runs() -> Any:
        seen = await ask("describe")
        return seen["recent"] if seen["runs"] == 3 else None

    hours = {(run["scheduled_at_ms"] - MIDNIGHT_MS) // HOUR_MS for run in await eventually(runs)}
    assert hours == {0, 1, 5}
    nothing = await ask("backfill", start_ms=MIDNIGHT_MS + 1, end_ms=MIDNIGHT_MS + 2)
    assert nothing == {"times": 0}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"start_ms": MIDNIGHT_MS, "end_ms": MIDNIGHT_MS}, "must be after"),
        ({"start_ms": MIDNIGHT_MS}, "give `start_ms` and `end_ms`, or `ranges`"),
        ({"start_ms": 0, "end_ms": MIDNIGHT_MS, "overlap": "skip"}, "1000 times or more"),
        ({"ranges": [{"start_ms": 2, "end_ms": 1}]}, "must be after"),
        ({"start_ms": 1, "end_ms": 2, "overlap": "odd"}, "odd"),
    ],
    ids=["empty", "half", "too many", "backwards", "overlap"],
)
async def test_a_backfill_that_makes_no_sense_is_refused_with_the_reason(
    ask: Ask, create: Ask, asked: dict[str, Any], told: str
) -> None:
    await create(spec={"every_ms": HOUR_MS})
    with pytest.raises(CallFailed, match=told):
        await ask("backfill", **asked)
    assert (await ask("describe"))["runs"] == 0


async def test_a_schedule_with_few_runs_left_counts_them_down(ask: Ask, create: Ask) -> None:
    await create(spec={"every_ms": 1000}, remaining_runs=2)

    async def is_spent() -> bool:
        seen = await ask("describe")
        return (seen["runs"], seen["remaining_runs"]) == (2, 0)

    await eventually(is_spent)
    await ask("update", remaining_runs=None, paused=True)
    assert (await ask("describe"))["remaining_runs"] is None


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "give `cron`"),
        ({"cron": ["@every 5m"]}, "`every_ms`"),
        ({"cron": ["TZ=Europe/Berlin 0 3 * * *"]}, "`time_zone`"),
        ({"cron": ["0 3 * *"]}, "5-7 fields"),
        ({"cron": ["0 3 * * *"], "time_zone": "Mars/Crater"}, "Mars/Crater"),
        ({"calendars": [{"hour": [25]}]}, "hour|Hour"),
    ],
)
async def test_a_spec_that_cannot_be_is_refused_with_the_reason(
    create: Ask, spec: dict[str, Any], told: str
) -> None:
    with pytest.raises(CallFailed, match=told):
        await create(spec=spec)


async def test_what_another_client_changes_during_an_update_is_kept(
    ask: Ask, create: Ask, temporal: Client, schedule_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create()
    update = schedule_requests.update
    tries: list[bool] = []

    def note(current: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = current.description.schedule
        schedule.state.note = "from the SDK"
        return ScheduleUpdate(schedule)

    async def overtaken(*asked: Any) -> bool:
        if not tries:
            await temporal.get_schedule_handle(schedule_id).update(note)
        tries.append(await update(*asked))
        return tries[-1]

    monkeypatch.setattr(schedule_requests, "update", overtaken)
    await ask("update", paused=True)
    seen = await ask("describe")
    assert (seen["note"], seen["paused"]) == ("from the SDK", True)
    assert tries == [False, True]


async def test_an_update_that_others_overtake_again_and_again_is_a_conflict(
    ask: Ask, create: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create()

    async def overtaken(*_: Any) -> bool:
        return False

    monkeypatch.setattr(schedule_requests, "update", overtaken)
    assert await code(ask("update", paused=True)) == "schedule_conflict"
