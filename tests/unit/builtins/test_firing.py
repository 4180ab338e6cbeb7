"""Nobody waits for what a trigger runs, so its failures are in the log and nowhere else."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.builtins.pubsub import PubSub
from bridge.builtins.state import State, StateSettings
from bridge.builtins.stream import Stream, StreamSettings
from bridge.storage import LocalBroker, MemoryStore
from tests.unit.builtins.state.engine_harness import EngineHarness

GROUP = {"stream_name": "chat", "group_id": "room-7"}


@pytest.fixture
def harness() -> EngineHarness:
    harness = EngineHarness()
    State(MemoryStore(), LocalBroker(), StateSettings()).register(harness.engine)
    Stream(MemoryStore(), LocalBroker(), StreamSettings()).register(harness.engine)
    PubSub(LocalBroker()).register(harness.engine)
    return harness


@pytest.mark.parametrize(
    ("trigger_type", "config", "function_id", "data"),
    [
        ("state", {}, "state::set", {"scope": "orders", "key": "o-17", "value": 1}),
        ("stream", {"stream_name": "chat"}, "stream::send", {**GROUP, "type": "typing", "data": 1}),
        ("subscribe", {"topic": "shipped"}, "publish", {"topic": "shipped", "data": 1}),
    ],
)
async def test_a_function_that_fails_is_logged_with_its_trigger_and_one_that_works_is_not(
    harness: EngineHarness, trigger_type: str, config: Any, function_id: str, data: Any
) -> None:
    works = harness.recorder("works")
    harness.bind(trigger_type, "works", config)
    harness.bind(trigger_type, "missing", config, trigger_id="t-1")
    with capture_logs() as logs:
        await harness.call(function_id, data)
        await harness.settle()
    assert len(works) == 1
    [failure] = [log for log in logs if log["event"] == "trigger failed"]
    assert "missing" in failure.pop("error")
    assert failure == {
        "event": "trigger failed",
        "log_level": "warning",
        "trigger_id": "t-1",
        "trigger_type": trigger_type,
        "function_id": "missing",
    }
