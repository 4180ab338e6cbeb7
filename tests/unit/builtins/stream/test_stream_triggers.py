from typing import Any

import pytest

from bridge.errors import TriggerRejectedError
from tests.unit.builtins.state.engine_harness import NO_RESULT
from tests.unit.builtins.stream.conftest import StreamHarness

GROUP = {"stream_name": "chat", "group_id": "room-7"}
ITEM = {**GROUP, "item_id": "m1"}


async def send(harness: StreamHarness, **fields: Any) -> None:
    await harness.call("stream::send", {**GROUP, "data": {"user": "ann"}, **fields})
    await harness.settle()


async def test_each_change_is_one_envelope(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await harness.write("a")
    await harness.write("a")
    await harness.call("stream::update", {**ITEM, "ops": [{"type": "append", "value": "b"}]})
    await harness.call("stream::delete", ITEM)
    await send(harness, type="typing")
    common = {"type": "stream", "streamName": "chat", "groupId": "room-7", "id": "m1"}
    assert events == [
        {**common, "timestamp": 1001, "event": {"type": "create", "data": "a"}},
        {**common, "timestamp": 1002, "event": {"type": "update", "data": "a"}},
        {**common, "timestamp": 1003, "event": {"type": "update", "data": "ab"}},
        {**common, "timestamp": 1004, "event": {"type": "delete", "data": "ab"}},
        {
            **common,
            "timestamp": 1005,
            "id": None,
            "event": {"type": "event", "event": {"type": "typing", "data": {"user": "ann"}}},
        },
    ]


async def test_an_update_of_a_missing_item_is_a_create_event(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await harness.call("stream::update", {**ITEM, "ops": []})
    await harness.settle()
    assert [event["event"] for event in events] == [{"type": "create", "data": {}}]


async def test_deleting_what_is_not_there_and_reading_fire_nothing(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await harness.call("stream::delete", ITEM)
    await harness.call("stream::get", ITEM)
    await harness.call("stream::list", GROUP)
    await harness.client().join("s-1", "chat", "room-7")
    await harness.settle()
    assert events == []


@pytest.mark.parametrize("name", ["type", "event_type"])
async def test_send_takes_the_event_type_under_both_names(harness: StreamHarness, name: str) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await send(harness, **{name: "typing"}, id="m9")
    assert (events[0]["id"], events[0]["event"]["event"]["type"]) == ("m9", "typing")


async def test_type_wins_over_its_alias(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await send(harness, type="typing", event_type="old")
    assert events[0]["event"]["event"]["type"] == "typing"


@pytest.mark.parametrize(
    ("config", "fires"),
    [
        ({}, True),
        ({"group_id": None, "item_id": None}, True),
        ({"group_id": "", "item_id": ""}, True),
        ({"group_id": "room-7", "item_id": "m1"}, True),
        ({"group_id": "room-8"}, False),
        ({"item_id": "m2"}, False),
        ({"stream_name": "Chat"}, False),
        ({"stream_name": ""}, False),
    ],
)
async def test_filters(harness: StreamHarness, config: Any, fires: bool) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat", **config})
    await harness.write(1)
    assert bool(events) is fires


async def test_an_event_without_an_item_does_not_match_an_item_filter(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", ITEM)
    await send(harness, type="typing")
    assert events == []


@pytest.mark.parametrize(
    ("answer", "fires"), [(True, True), ("no", True), (NO_RESULT, True), (0, True), (False, False)]
)
async def test_only_false_from_the_condition_skips(harness: StreamHarness, answer: Any, fires: bool) -> None:
    harness.offer("condition", lambda _: answer)
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat", "condition_function_id": "condition"})
    await harness.write(1)
    assert bool(events) is fires


async def test_failures_skip_their_own_function_only(harness: StreamHarness) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("boom")

    harness.offer("broken", fail)
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat", "condition_function_id": "broken"})
    harness.bind("stream", "broken", {"stream_name": "chat"})
    harness.bind("stream", "watch", {"stream_name": "chat"})
    await harness.write(1)
    assert len(events) == 1


async def test_function_and_condition_are_looked_up_in_the_namespace_of_the_trigger(
    harness: StreamHarness,
) -> None:
    default, shop = harness.recorder("watch"), harness.recorder("watch", namespace="shop")
    harness.offer("condition", lambda _: True, namespace="shop")
    harness.bind(
        "stream",
        "watch",
        {"stream_name": "chat", "condition_function_id": "condition"},
        namespace="shop",
    )
    await harness.write(1)
    assert (len(default), len(shop)) == (0, 1)


async def test_triggers_of_one_event_run_in_the_order_of_their_registration(harness: StreamHarness) -> None:
    order: list[str] = []
    for name in ("c", "a", "b"):
        harness.offer(name, lambda _, name=name: order.append(name))
        harness.bind("stream", name, {"stream_name": "chat"})
    await harness.write(1)
    assert order == ["c", "a", "b"]


async def test_the_same_trigger_id_twice_fires_once(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"}, trigger_id="t-1")
    harness.bind("stream", "watch", {"stream_name": "chat"}, trigger_id="t-1")
    await harness.write(1)
    assert len(events) == 1


async def test_triggers_of_one_stream_are_removed_one_by_one(harness: StreamHarness) -> None:
    first, second = harness.recorder("first"), harness.recorder("second")
    first_id = harness.bind("stream", "first", {"stream_name": "chat"})
    second_id = harness.bind("stream", "second", {"stream_name": "chat"})
    harness.engine.triggers.unbind(first_id)
    await harness.write(1)
    harness.engine.triggers.unbind(second_id)
    harness.engine.triggers.unbind("unknown")
    await harness.write(1)
    assert (len(first), len(second)) == (0, 1)


@pytest.mark.parametrize(
    "config", [{}, {"stream_name": None}, {"stream_name": "c", "group_id": 1}, "c", None]
)
async def test_an_unusable_configuration_is_rejected(harness: StreamHarness, config: Any) -> None:
    with pytest.raises(TriggerRejectedError, match="stream_name"):
        harness.bind("stream", "watch", config)
