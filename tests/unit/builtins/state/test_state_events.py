from typing import Any

import pytest

from bridge.builtins.state import State, StateSettings
from bridge.storage import LocalBroker, MemoryStore
from tests.unit.builtins.broken_broker import BrokenBroker
from tests.unit.builtins.state.engine_harness import NO_RESULT, EngineHarness

ENTRY = {"scope": "orders", "key": "o-17"}


async def test_a_write_whose_event_is_lost_has_happened_all_the_same() -> None:
    harness = EngineHarness()
    State(MemoryStore(), BrokenBroker(), StateSettings()).register(harness.engine)
    events = harness.recorder("watch")
    harness.bind("state", "watch", {})
    assert await harness.call("state::set", {**ENTRY, "value": 1}) == {"old_value": None, "new_value": 1}
    ops = [{"type": "increment", "path": "", "by": 1}]
    assert (await harness.call("state::update", {**ENTRY, "ops": ops}))["new_value"] == 2
    assert await harness.call("state::delete", ENTRY) == 2
    assert await harness.call("state::get", ENTRY) is NO_RESULT
    await harness.settle()
    assert events == []


@pytest.mark.parametrize("event", [b"7", b"{}", b'{"scope": 1, "key": "a"}', b"[" * 10_000 + b"]" * 10_000])
async def test_an_event_that_cannot_be_read_is_skipped(event: bytes) -> None:
    harness, broker = EngineHarness(), LocalBroker()
    State(MemoryStore(), broker, StateSettings()).register(harness.engine)
    events: list[Any] = harness.recorder("watch")
    harness.bind("state", "watch", {})
    await broker.publish("events", event)
    await harness.call("state::set", {**ENTRY, "value": 1})
    await harness.settle()
    assert [each["new_value"] for each in events] == [1]
