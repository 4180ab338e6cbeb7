import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.protocol import payload
from tests.unit.builtins.state.engine_harness import NO_RESULT
from tests.unit.builtins.stream.conftest import StreamHarness


def envelope(event: dict[str, Any], timestamp: int, item: str | None = None) -> dict[str, Any]:
    return {
        "type": "stream",
        "timestamp": timestamp,
        "streamName": "chat",
        "groupId": "room-7",
        "id": item,
        "event": event,
    }


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["event"]["type"] for frame in frames]


async def test_joining_a_group_shows_its_items(harness: StreamHarness) -> None:
    await harness.write({"id": "m1"})
    client = harness.client()
    await client.join("s-1", "chat", "room-7")
    assert client.take() == [envelope({"type": "sync", "data": [{"id": "m1"}]}, 1002)]


async def test_joining_an_item_shows_it(harness: StreamHarness) -> None:
    await harness.write({"id": "m1"})
    client = harness.client()
    await client.join("s-1", "chat", "room-7", "m1")
    await client.join("s-2", "chat", "room-7", "m2")
    assert client.take() == [
        envelope({"type": "sync", "data": {"id": "m1"}}, 1002, "m1"),
        envelope({"type": "sync", "data": None}, 1003, "m2"),
    ]


async def test_joining_an_empty_group_shows_an_empty_array(harness: StreamHarness) -> None:
    client = harness.client()
    await client.join("s-1", "chat", "room-7")
    assert client.take()[0]["event"] == {"type": "sync", "data": []}


async def test_a_subscriber_sees_the_envelopes_that_triggers_get(harness: StreamHarness) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "chat"})
    client = harness.client()
    await client.join("s-1", "chat", "room-7")
    client.take()
    await harness.write({"id": "m1"})
    item = {"stream_name": "chat", "group_id": "room-7", "item_id": "m1"}
    await harness.call("stream::update", {**item, "ops": []})
    await harness.call("stream::delete", item)
    await harness.settle()
    frames = client.take()
    assert kinds(frames) == ["create", "update", "delete"]
    assert frames == events


async def test_a_group_member_sees_every_item_and_an_item_member_only_its_own(harness: StreamHarness) -> None:
    group, item = harness.client(), harness.client()
    await group.join("s-1", "chat", "room-7")
    await item.join("s-1", "chat", "room-7", "m1")
    group.take()
    item.take()
    await harness.write(1, "m1")
    await harness.write(2, "m2")
    await harness.call(
        "stream::send", {"stream_name": "chat", "group_id": "room-7", "type": "typing", "data": 1}
    )
    await harness.write(3, "m1", group="room-8")
    await harness.write(4, "m1", stream="news")
    await harness.call(
        "stream::send",
        {"stream_name": "chat", "group_id": "room-7", "type": "read", "data": 1, "id": "m1"},
    )
    assert kinds(group.take()) == ["create", "create", "event", "event"]
    assert kinds(item.take()) == ["create", "event"]


async def test_an_event_comes_once_per_matching_subscription(harness: StreamHarness) -> None:
    client = harness.client()
    await client.join("s-1", "chat", "room-7")
    await client.join("s-2", "chat", "room-7", "m1")
    client.take()
    await harness.write(1)
    assert kinds(client.take()) == ["create", "create"]


async def test_a_reused_subscription_id_replaces_the_subscription(harness: StreamHarness) -> None:
    client = harness.client()
    await client.join("s-1", "chat", "room-7")
    await client.join("s-1", "chat", "room-8")
    client.take()
    await harness.write(1, group="room-7")
    await harness.write(1, group="room-8")
    assert [frame["groupId"] for frame in client.take()] == ["room-8"]


async def test_nothing_comes_after_leaving(harness: StreamHarness) -> None:
    client = harness.client()
    await client.join("s-1", "chat", "room-7")
    await client.leave("s-1", "chat", "room-7")
    client.take()
    await harness.write(1)
    assert client.take() == []


async def test_who_leaves_takes_nobody_along_and_an_empty_group_is_forgotten(harness: StreamHarness) -> None:
    leaving, staying = harness.client(), harness.client()
    for client in (leaving, staying):
        await client.join("s-1", "chat", "room-7")
        client.take()
    leaving.close()
    await harness.write(1)
    assert (kinds(leaving.take()), kinds(staying.take())) == ([], ["create"])
    staying.close()
    assert harness.stream._socket is not None
    assert harness.stream._socket._membership.subscriptions._groups == {}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "  ",
        "{",
        b"\xff\xfe",
        b'{"type":"join","data":{"subscriptionId":"\xff","streamName":"chat","groupId":"g"}}',
        "[]",
        "null",
        '{"type":"subscribe","data":{}}',
        '{"type":"Join","data":{"subscriptionId":"s","streamName":"chat","groupId":"room-7"}}',
        '{"type":"join"}',
        '{"type":"join","data":{"subscriptionId":"s","streamName":"chat"}}',
        '{"type":"join","data":{"subscriptionId":"s","streamName":"chat","groupId":"room-7","id":5}}',
        '{"type":"join","data":' + "[" * 5000 + "]" * 5000 + "}",
    ],
)
async def test_a_frame_that_cannot_be_understood_is_ignored(
    harness: StreamHarness, frame: str | bytes
) -> None:
    client = harness.client()
    await client.send(frame)
    assert client.take() == []
    await client.join("s-1", "chat", "room-7")
    assert kinds(client.take()) == ["sync"]


async def test_binary_frames_are_understood_too(harness: StreamHarness) -> None:
    client = harness.client()
    await client.send(
        b'{"type":"join","data":{"subscriptionId":"s","streamName":"chat","groupId":"room-7","id":null}}'
    )
    assert kinds(client.take()) == ["sync"]


async def test_a_change_made_during_the_first_read_is_not_lost(harness: StreamHarness) -> None:
    client = harness.client()

    async def list_while_somebody_writes(_: Any) -> Any:
        await harness.call(
            "stream::send", {"stream_name": "own", "group_id": "g", "type": "meanwhile", "data": 1}
        )
        return []

    harness.offer("stream::list(own)", list_while_somebody_writes)
    await client.join("s-1", "own", "g")
    frames = client.take()
    assert kinds(frames) == ["event", "sync"]
    assert frames[1]["timestamp"] < frames[0]["timestamp"]


@pytest.mark.parametrize(("operation", "item"), [("list", None), ("get", "m1")])
async def test_a_failing_read_leaves_the_sync_out_and_keeps_the_subscription(
    harness: StreamHarness, operation: str, item: str | None
) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("boom")

    harness.offer(f"stream::{operation}(chat)", fail)
    client = harness.client()
    await client.join("s-1", "chat", "room-7", item)
    assert client.take() == []
    await harness.write(1)
    assert kinds(client.take()) == ["create"]


class TestJoinTriggers:
    async def test_unauthorized_true_refuses(self, harness: StreamHarness) -> None:
        asked: list[Any] = []

        def refuse(event: Any) -> Any:
            asked.append(event)
            return {"unauthorized": True}

        harness.offer("gate", refuse)
        harness.bind("stream:join", "gate", {"stream_name": "other", "condition_function_id": "never"})
        leaves = harness.recorder("leave")
        harness.bind("stream:leave", "leave", None)
        client = harness.client({"user": "ann"})
        await client.join("s-1", "chat", "room-7", "m1")
        assert client.take() == [envelope({"type": "unauthorized"}, 1001, "m1")]
        assert asked == [
            {
                "subscription_id": "s-1",
                "stream_name": "chat",
                "group_id": "room-7",
                "id": "m1",
                "context": {"user": "ann"},
            }
        ]
        await harness.write(1)
        client.close()
        await harness.settle()
        assert (client.take(), leaves) == ([], [])

    @pytest.mark.parametrize(
        "answer",
        [{"unauthorized": False}, {"unauthorized": "nope"}, {"unauthorized": 1}, {}, [], True, NO_RESULT],
    )
    async def test_anything_else_allows(self, harness: StreamHarness, answer: Any) -> None:
        harness.offer("gate", lambda _: answer)
        harness.bind("stream:join", "gate", {})
        client = harness.client()
        await client.join("s-1", "chat", "room-7")
        assert kinds(client.take()) == ["sync"]

    async def test_a_failing_or_missing_function_allows(self, harness: StreamHarness) -> None:
        def fail(_: Any) -> None:
            raise RuntimeError("boom")

        harness.offer("gate", fail)
        harness.bind("stream:join", "gate", {})
        harness.bind("stream:join", "missing", {})
        client = harness.client()
        with capture_logs() as logs:
            await client.join("s-1", "chat", "room-7")
        assert kinds(client.take()) == ["sync"]
        assert [log["function_id"] for log in logs if log["event"] == "trigger failed"] == ["gate", "missing"]

    async def test_all_are_asked_even_after_a_refusal(self, harness: StreamHarness) -> None:
        harness.offer("first", lambda _: {"unauthorized": True})
        asked = harness.recorder("second")
        harness.bind("stream:join", "first", {})
        harness.bind("stream:join", "second", {})
        client = harness.client()
        await client.join("s-1", "chat", "room-7")
        assert kinds(client.take()) == ["unauthorized"]
        assert len(asked) == 1

    async def test_an_unbound_trigger_is_not_asked(self, harness: StreamHarness) -> None:
        harness.offer("gate", lambda _: {"unauthorized": True})
        harness.engine.triggers.unbind(harness.bind("stream:join", "gate", {}))
        client = harness.client()
        await client.join("s-1", "chat", "room-7")
        assert kinds(client.take()) == ["sync"]


class TestLeaveTriggers:
    async def test_a_leave_message_fires_before_the_subscription_ends(self, harness: StreamHarness) -> None:
        client = harness.client("ctx")
        events: list[Any] = []

        async def write_a_farewell(event: Any) -> None:
            events.append(event)
            await harness.call(
                "stream::send", {"stream_name": "chat", "group_id": "room-7", "type": "bye", "data": 1}
            )

        harness.offer("leave", write_a_farewell)
        harness.bind("stream:leave", "leave", {})
        await client.join("s-1", "chat", "room-7")
        await client.leave("s-1", "chat", "room-7")
        assert kinds(client.take()) == ["sync", "event"]
        assert events == [
            {
                "subscription_id": "s-1",
                "stream_name": "chat",
                "group_id": "room-7",
                "id": None,
                "context": "ctx",
            }
        ]

    async def test_leaving_what_was_never_joined_fires_too(self, harness: StreamHarness) -> None:
        events = harness.recorder("leave")
        harness.bind("stream:leave", "leave", {})
        await harness.client().leave("s-9", "chat", "room-7", "m1")
        assert [(event["subscription_id"], event["id"]) for event in events] == [("s-9", "m1")]

    async def test_closing_fires_once_per_open_subscription(self, harness: StreamHarness) -> None:
        events = harness.recorder("leave")
        harness.bind("stream:leave", "leave", {})
        client = harness.client()
        for number in (1, 2, 3):
            await client.join(f"s-{number}", "chat", "room-7")
        await client.leave("s-2", "chat", "room-7")
        client.take()
        client.close()
        await harness.write(1)
        await harness.settle()
        assert client.take() == []
        assert [event["subscription_id"] for event in events] == ["s-2", "s-1", "s-3"]


async def test_an_event_is_encoded_once_for_all_subscribers(
    harness: StreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [harness.client() for _ in range(50)]
    for client in clients:
        await client.join("s-1", "chat", "room-7")
    encoded: list[object] = []

    def counting(value: object, encode: Any = payload.encode) -> Any:
        encoded.append(value)
        return encode(value)

    monkeypatch.setattr("bridge.builtins.stream.announcer.payload.encode", counting)
    await harness.write(1)
    assert [type(value).__name__ for value in encoded].count("Envelope") == 1
    assert all(kinds(client.take())[-1] == "create" for client in clients)


async def test_writes_by_many_at_once_reach_every_member_in_one_order(harness: StreamHarness) -> None:
    clients = [harness.client() for _ in range(20)]
    for client in clients:
        await client.join("s-1", "chat", "room-7")
        client.take()
    await asyncio.gather(*(harness.write(number, f"m{number}") for number in range(50)))
    first = clients[0].take()
    assert sorted(frame["event"]["data"] for frame in first) == list(range(50))
    assert all(client.take() == first for client in clients[1:])
