import pytest

from bridge.builtins.stream import Stream, StreamSettings
from bridge.errors import FunctionFailedError
from bridge.storage import LocalBroker, MemoryStore
from tests.unit.builtins.broken_broker import BrokenBroker
from tests.unit.builtins.state.engine_harness import EngineHarness

GROUP = {"stream_name": "chat", "group_id": "room-7"}
ITEM = {**GROUP, "item_id": "m1"}


@pytest.fixture
def cut_off() -> EngineHarness:
    """An engine whose stream events go nowhere."""
    harness = EngineHarness()
    Stream(MemoryStore(), BrokenBroker(), StreamSettings()).register(harness.engine)
    return harness


async def test_a_change_whose_event_is_lost_has_happened_all_the_same(cut_off: EngineHarness) -> None:
    assert await cut_off.call("stream::set", {**ITEM, "data": 1}) == {"old_value": None, "new_value": 1}
    ops = [{"type": "increment", "path": "", "by": 1}]
    assert await cut_off.call("stream::update", {**ITEM, "ops": ops}) == {"old_value": 1, "new_value": 2}
    assert await cut_off.call("stream::delete", ITEM) == {"old_value": 2}


async def test_a_message_that_cannot_be_sent_is_an_error_of_the_sender(cut_off: EngineHarness) -> None:
    with pytest.raises(FunctionFailedError) as caught:
        await cut_off.call("stream::send", {**GROUP, "type": "typing", "data": 1})
    assert caught.value.failure_code == "STREAM_SEND_ERROR"


@pytest.mark.parametrize("event", [b"7", b"{}", b'{"streamName": 1, "groupId": "a", "id": null}'])
async def test_an_event_that_cannot_be_read_is_skipped(event: bytes) -> None:
    harness, broker = EngineHarness(), LocalBroker()
    Stream(MemoryStore(), broker, StreamSettings()).register(harness.engine)
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await broker.publish("events", event)
    await harness.call("stream::set", {**ITEM, "data": 1})
    await harness.settle()
    assert [each["event"]["data"] for each in events] == [1]
