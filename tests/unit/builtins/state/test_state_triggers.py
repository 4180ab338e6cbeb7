import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bridge.builtins.state import State, StateSettings
from bridge.engine.calls import Call
from bridge.errors import FunctionFailedError, TriggerRejectedError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT
from bridge.storage import LocalBroker, MemoryStore, Subscriber
from tests.unit.builtins.state.engine_harness import NO_RESULT, EngineHarness

ORDER = {"scope": "orders", "key": "o-17"}


async def write(harness: EngineHarness, value: Any = 1, *, scope: str = "orders", key: str = "o-17") -> None:
    await harness.call("state::set", {"scope": scope, "key": key, "value": value})
    await harness.settle()


async def test_a_new_entry_an_overwritten_one_and_a_deleted_one_are_three_events(
    harness: EngineHarness,
) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await write(harness, {"total": 12})
    await write(harness, {"total": 15})
    await harness.call("state::delete", ORDER)
    await harness.settle()
    common = {"type": "state", **ORDER}
    assert events == [
        {**common, "event_type": "state:created", "old_value": None, "new_value": {"total": 12}},
        {**common, "event_type": "state:updated", "old_value": {"total": 12}, "new_value": {"total": 15}},
        {**common, "event_type": "state:deleted", "old_value": {"total": 15}, "new_value": None},
    ]


async def test_an_update_creates_then_updates_even_when_it_changes_nothing(harness: EngineHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    failing = {"type": "increment", "path": "", "by": 1}
    for ops in ([], [], [failing]):
        await harness.call("state::update", {**ORDER, "ops": ops})
        await harness.settle()
    assert [event["event_type"] for event in events] == ["state:created", "state:updated", "state:updated"]
    assert [event["new_value"] for event in events] == [{}, {}, {}]


async def test_an_entry_that_holds_null_exists(harness: EngineHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await write(harness, None)
    await write(harness, None)
    assert [event["event_type"] for event in events] == ["state:created", "state:updated"]


async def test_deleting_what_is_not_there_fires_too(harness: EngineHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await harness.call("state::delete", ORDER)
    await harness.settle()
    assert events == [
        {"type": "state", "event_type": "state:deleted", **ORDER, "old_value": None, "new_value": None}
    ]


async def test_reads_and_refused_writes_fire_nothing(harness: EngineHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await harness.call("state::get", ORDER)
    await harness.call("state::list", {"scope": "orders"})
    await harness.call("state::list_groups", {})
    for refused in ({**ORDER}, {**ORDER, "value": 1, "expected_version": 4}):
        with pytest.raises(Exception, match=r"version|expected"):
            await harness.call("state::set", refused)
    await harness.settle()
    assert events == []


async def test_a_value_that_is_too_large_fires_nothing() -> None:
    harness = EngineHarness()
    State(MemoryStore(), LocalBroker(), StateSettings(max_value_bytes=3)).register(harness.engine)
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    with pytest.raises(FunctionFailedError):
        await write(harness, "too large")
    await write(harness, 1)
    assert [event["new_value"] for event in events] == [1]


async def test_nothing_fires_when_triggers_are_disabled() -> None:
    harness = EngineHarness()
    State(MemoryStore(), LocalBroker(), StateSettings(triggers_enabled=False)).register(harness.engine)
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await write(harness)
    assert events == []
    assert await harness.call("state::get", ORDER) == 1


async def test_other_bridges_hear_nothing_from_one_whose_triggers_are_disabled() -> None:
    harness, broker = EngineHarness(), LocalBroker()
    State(MemoryStore(), broker, StateSettings(triggers_enabled=False)).register(harness.engine)
    heard: list[bytes] = []
    broker.subscribe("events", Subscriber(heard.append))
    await write(harness)
    assert heard == []


@pytest.mark.parametrize(
    ("config", "fires"),
    [
        ({}, True),
        ({"scope": None, "key": None, "extra": 1}, True),
        ({"scope": "orders"}, True),
        ({"key": "o-17"}, True),
        ({"scope": "orders", "key": "o-17"}, True),
        ({"scope": "orders", "key": "o-18"}, False),
        ({"scope": "audit", "key": "o-17"}, False),
        ({"scope": "audit", "key": "o-18"}, False),
        ({"key": "o-18"}, False),
        ({"scope": "Orders"}, False),
        ({"scope": "ord*"}, False),
        ({"scope": ""}, False),
        ({"key": ""}, False),
    ],
)
async def test_filters_match_exactly(harness: EngineHarness, config: Any, fires: bool) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", config)
    await write(harness)
    assert bool(events) is fires


@pytest.mark.parametrize(
    ("answer", "fires"),
    [
        (True, True),
        ("hello", True),
        (0, True),
        (None, True),
        (NO_RESULT, True),
        ({}, True),
        (False, False),
    ],
)
async def test_only_false_from_the_condition_skips(harness: EngineHarness, answer: Any, fires: bool) -> None:
    asked: list[Any] = []

    def condition(event: Any) -> Any:
        asked.append(event)
        return answer

    harness.offer("condition", condition)
    events = harness.recorder("watch")
    harness.bind("state", "watch", {"condition_function_id": "condition"})
    await write(harness)
    assert bool(events) is fires
    assert asked[0]["event_type"] == "state:created"


async def test_a_condition_that_fails_or_is_missing_skips(harness: EngineHarness) -> None:
    harness.offer("broken", _raise)
    events = harness.recorder("watch")
    harness.bind("state", "watch", {"condition_function_id": "broken"})
    harness.bind("state", "watch", {"condition_function_id": "missing"})
    await write(harness)
    assert events == []


async def test_a_function_that_fails_or_is_missing_harms_nobody_else(harness: EngineHarness) -> None:
    harness.offer("broken", _raise)
    harness.bind("state", "broken", {})
    harness.bind("state", "missing", {})
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await write(harness)
    assert len(events) == 1


async def test_function_and_condition_are_looked_up_in_the_namespace_of_the_trigger(
    harness: EngineHarness,
) -> None:
    default, shop = harness.recorder("watch"), harness.recorder("watch", namespace="shop")
    harness.offer("condition", lambda _: True, namespace="shop")
    harness.bind("state", "watch", {"condition_function_id": "condition"}, namespace="shop")
    await write(harness)
    assert (len(default), len(shop)) == (0, 1)


async def test_the_metadata_of_the_trigger_goes_to_the_function_and_not_to_the_condition(
    harness: EngineHarness,
) -> None:
    sidecars: list[msgspec.Raw] = []

    async def note(call: Call) -> msgspec.Raw:
        sidecars.append(call.metadata)
        return ABSENT

    for function_id in ("condition", "watch"):
        harness.engine.add_builtin(function_id, note, owner_name="test")
    harness.bind("state", "watch", {"condition_function_id": "condition"}, metadata={"team": "ops"})
    await write(harness)
    assert sidecars == [ABSENT, payload.encode({"team": "ops"})]


async def test_a_function_that_writes_what_it_watches_runs_again(harness: EngineHarness) -> None:
    async def count_up(event: Any) -> None:
        if event["new_value"] < 3:
            await harness.call("state::set", {**ORDER, "value": event["new_value"] + 1})

    harness.offer("count-up", count_up)
    harness.bind("state", "count-up", ORDER)
    await write(harness, 1)
    assert await harness.call("state::get", ORDER) == 3


async def test_the_writer_does_not_wait_for_handlers(harness: EngineHarness) -> None:
    release = asyncio.Event()
    harness.offer("slow", lambda _: release.wait())
    harness.bind("state", "slow", {})
    await harness.call("state::set", {**ORDER, "value": 1})
    assert await harness.call("state::get", ORDER) == 1
    release.set()
    await harness.settle()


async def test_triggers_of_one_event_run_one_after_another(harness: EngineHarness) -> None:
    running: list[str] = []
    harness.offer("first", _overlap_detector("first", running))
    harness.offer("second", _overlap_detector("second", running))
    harness.bind("state", "first", {})
    harness.bind("state", "second", {})
    await write(harness)
    assert running == ["first begins", "first ends", "second begins", "second ends"]


async def test_binding_the_same_id_again_replaces_and_unbinding_ends(harness: EngineHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("state", "watch", {"scope": "orders"}, trigger_id="t-1")
    harness.bind("state", "watch", {"scope": "audit"}, trigger_id="t-1")
    await write(harness, scope="orders")
    await write(harness, scope="audit")
    harness.engine.triggers.unbind("t-1")
    await write(harness, scope="audit")
    assert [event["scope"] for event in events] == ["audit"]


@pytest.mark.parametrize(
    "config", [{"scope": 123}, {"key": []}, {"condition_function_id": 1}, "orders", None, []]
)
async def test_an_unusable_configuration_is_rejected(harness: EngineHarness, config: Any) -> None:
    with pytest.raises(TriggerRejectedError, match="scope, key and condition_function_id"):
        harness.bind("state", "watch", config)


def _raise(_: Any) -> None:
    raise RuntimeError("boom")


def _overlap_detector(name: str, running: list[str]) -> Callable[[Any], Any]:
    async def run(_: Any) -> None:
        running.append(f"{name} begins")
        await asyncio.sleep(0)  # lets whatever else could run begin
        running.append(f"{name} ends")

    return run
