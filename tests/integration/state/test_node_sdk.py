"""State, streams and pub/sub with the real Node SDK (spec 03 §7.6)."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.integration.stream.running_bridge import Bridge
from tests.support.node_script import running_node_script
from tests.support.waiting import PATIENCE_S, eventually

SCRIPT = Path(__file__).with_name("node_client.mjs")
ENTRY = {"scope": "orders", "key": "o-17"}
GROUP = {"stream_name": "chat", "group_id": "room-7"}
ITEM = {**GROUP, "item_id": "m1"}
OWN_ITEM = {"stream_name": "inventory", "group_id": "eu", "item_id": "i1"}
NOTHING = {"kind": "undefined"}


@dataclass(frozen=True)
class NodeWorker:
    """What the script offers."""

    bridge: Bridge

    async def call(self, function_id: str, payload: Any, *, is_void: bool = False) -> Any:
        """Return what the SDK made of an answer: its kind, and the result or the error."""
        request = {"function_id": function_id, "payload": payload, "isVoid": is_void}
        return await self.bridge.call("node::call", request)

    async def result(self, function_id: str, payload: Any) -> Any:
        answer = await self.call(function_id, payload)
        assert answer["kind"] != "error", answer
        return answer["result"]

    async def watch(
        self, what: str, trigger_type: str, config: Any, *, condition: str | None = None, answer: Any = None
    ) -> None:
        """Bind a function of the worker, which always answers the same, and wait until that is in force."""
        request = {
            "what": what,
            "type": trigger_type,
            "config": config,
            "condition": condition,
            "answer": answer,
        }
        await self.bridge.call("node::watch", request)
        await self.bridge.until_bound(trigger_type)

    async def noted(self, what: str, holds: Callable[[list[Any]], bool]) -> list[Any]:
        """Return what a watching function was given, as soon as that is enough."""

        async def enough() -> list[Any] | None:
            events = await self.bridge.call("node::noted", {"what": what})
            return events if holds(events) else None

        return await eventually(enough)


@pytest.fixture
async def node(bridge: Bridge, tmp_path: Path) -> AsyncIterator[NodeWorker]:
    directory = tmp_path / "node"
    directory.mkdir()
    async with running_node_script(SCRIPT, directory, bridge.worker_url):
        await eventually(lambda: bridge.engine.has_provider("node::stock"), PATIENCE_S)
        yield NodeWorker(bridge)


def are(count: int) -> Callable[[list[Any]], bool]:
    return lambda events: len(events) >= count


async def test_entries_are_written_read_listed_and_deleted(node: NodeWorker) -> None:
    assert await node.call("state::get", ENTRY) == NOTHING
    first = await node.result("state::set", {**ENTRY, "value": {"total": 12, "note": "x"}})
    assert first == {"old_value": None, "new_value": {"total": 12, "note": "x"}}
    second = await node.result("state::set", {**ENTRY, "value": {"total": 15}})
    assert second == {"old_value": {"total": 12, "note": "x"}, "new_value": {"total": 15}}
    assert await node.result("state::get", ENTRY) == {"total": 15}
    await node.result("state::set", {"scope": "orders", "key": "o-18", "value": None})
    assert await node.call("state::get", {"scope": "orders", "key": "o-18"}) == {
        "kind": "null",
        "result": None,
    }
    assert await node.result("state::list", {"scope": "orders"}) == [{"total": 15}, None]
    assert await node.result("state::list_groups", {}) == {"groups": ["orders"]}
    assert await node.result("state::delete", ENTRY) == {"total": 15}
    assert await node.call("state::delete", ENTRY) == NOTHING


async def test_updates_change_fields_and_report_what_failed(node: NodeWorker) -> None:
    await node.result("state::set", {**ENTRY, "value": {"status": "new", "log": ["a"], "note": "hi"}})
    updated = await node.result(
        "state::update",
        {
            **ENTRY,
            "ops": [
                {"type": "set", "path": "status", "value": "paid"},
                {"type": "increment", "path": "status", "by": 1},
                {"type": "append", "path": "log", "value": "b"},
                {"type": "append", "path": "note", "value": " there"},
                {"type": "merge", "value": {"total": 3}},
                {"type": "decrement", "path": "total", "by": 1},
                {"type": "remove", "path": "missing"},
            ],
        },
    )
    assert updated["old_value"] == {"status": "new", "log": ["a"], "note": "hi"}
    changed = {"status": "paid", "log": ["a", "b"], "note": "hi there", "total": 2}
    assert updated["new_value"] == changed
    [error] = updated["errors"]
    assert (error["op_index"], error["code"]) == (1, "increment.not_number")
    assert await node.result("state::get", ENTRY) == changed


async def test_bad_input_is_an_error_with_its_code(node: NodeWorker) -> None:
    fractional = {"type": "increment", "path": "total", "by": 49.9}
    answer = await node.call("state::update", {**ENTRY, "ops": [fractional]})
    assert (answer["kind"], answer["code"]) == ("error", "deserialization_error")


async def test_a_write_nobody_waits_for_happens_and_a_trigger_sees_it(node: NodeWorker) -> None:
    await node.watch("changes", "state", {"scope": "orders"})
    assert await node.call("state::set", {**ENTRY, "value": 1}, is_void=True) == NOTHING
    await node.noted("changes", are(1))
    await node.result("state::set", {**ENTRY, "value": 2})
    await node.noted("changes", are(2))
    await node.result("state::delete", ENTRY)
    common = {"type": "state", **ENTRY}
    assert await node.noted("changes", are(3)) == [
        {**common, "event_type": "state:created", "old_value": None, "new_value": 1},
        {**common, "event_type": "state:updated", "old_value": 1, "new_value": 2},
        {**common, "event_type": "state:deleted", "old_value": 2, "new_value": None},
    ]


async def test_a_condition_of_the_worker_chooses_the_events(node: NodeWorker) -> None:
    await node.watch("created", "state", {}, condition="created")
    for key, value in (("a", 1), ("a", 2), ("b", 3)):
        await node.result("state::set", {"scope": "orders", "key": key, "value": value})
    created = await node.noted("created", are(2))
    assert sorted(event["key"] for event in created) == ["a", "b"]


async def test_items_are_written_changed_listed_and_deleted(node: NodeWorker) -> None:
    assert await node.call("stream::get", ITEM) == NOTHING
    assert await node.result("stream::set", {**ITEM, "data": {"n": 1}}) == {
        "old_value": None,
        "new_value": {"n": 1},
    }
    merges = [
        {"type": "merge", "path": "sessions", "value": {"a": 1}},
        {"type": "merge", "path": "sessions", "value": {"b": 2}},
    ]
    await node.result("stream::update", {**ITEM, "ops": merges})
    nested = {"type": "merge", "path": ["sessions", "c"], "value": {"d": 3}}
    await node.result("stream::update", {**ITEM, "ops": [nested]})
    item = {"n": 1, "sessions": {"a": 1, "b": 2, "c": {"d": 3}}}
    assert await node.result("stream::get", ITEM) == item
    assert await node.result("stream::list", GROUP) == [item]
    assert await node.result("stream::list_groups", {"stream_name": "chat"}) == ["room-7"]
    assert await node.result("stream::list_all", {}) == {
        "stream": [{"id": "chat", "groups": ["room-7"]}],
        "count": 1,
    }
    assert await node.result("stream::delete", ITEM) == {"old_value": item}
    assert await node.result("stream::delete", ITEM) == {"old_value": None}
    assert await node.call("stream::get", ITEM) == NOTHING


async def test_a_stream_trigger_sees_changes_and_messages(node: NodeWorker) -> None:
    await node.watch("items", "stream", GROUP)
    await node.result("stream::set", {**ITEM, "data": "a"})
    await node.noted("items", are(1))
    message = {**GROUP, "type": "typing", "data": {"user": "ann"}}
    assert await node.call("stream::send", message) == {"kind": "null", "result": None}
    events = await node.noted("items", are(2))
    assert [(event["id"], event["event"]) for event in events] == [
        ("m1", {"type": "create", "data": "a"}),
        (None, {"type": "event", "event": {"type": "typing", "data": {"user": "ann"}}}),
    ]
    assert {(event["type"], event["streamName"], event["groupId"]) for event in events} == {
        ("stream", "chat", "room-7")
    }
    assert all(isinstance(event["timestamp"], int) for event in events)


async def test_a_stream_of_the_workers_own_keeps_its_items(node: NodeWorker) -> None:
    join = {"subscriptionId": "s-1", "streamName": "inventory", "groupId": "eu"}
    async with connect(node.bridge.stream_url) as client:
        await client.send(json.dumps({"type": "join", "data": join}))
        assert json.loads(await client.recv())["event"] == {"type": "sync", "data": []}
        assert await node.result("stream::set", {**OWN_ITEM, "data": {"n": 1}}) == {
            "old_value": None,
            "new_value": {"n": 1},
        }
        assert json.loads(await client.recv())["event"] == {"type": "create", "data": {"n": 1}}
    ops = [{"type": "increment", "path": "n", "by": 4}]
    assert await node.result("stream::update", {**OWN_ITEM, "ops": ops}) == {
        "old_value": {"n": 1},
        "new_value": {"n": 5},
    }
    assert await node.bridge.call("node::stock", {}) == {"i1": {"n": 5}}
    assert await node.result("stream::list", {"stream_name": "inventory", "group_id": "eu"}) == [{"n": 5}]
    assert await node.result("stream::list_groups", {"stream_name": "inventory"}) == ["eu"]
    assert await node.result("stream::delete", OWN_ITEM) == {"old_value": {"n": 5}}
    assert await node.call("stream::get", OWN_ITEM) == NOTHING
    assert await node.bridge.call("node::stock", {}) == {}


async def test_a_join_trigger_of_the_worker_refuses_a_client(node: NodeWorker) -> None:
    await node.watch("joins", "stream:join", {}, answer={"unauthorized": True})
    join = {"subscriptionId": "s-1", "streamName": "chat", "groupId": "room-7"}
    async with connect(node.bridge.stream_url) as client:
        await client.send(json.dumps({"type": "join", "data": join}))
        assert json.loads(await client.recv())["event"] == {"type": "unauthorized"}
    assert await node.noted("joins", are(1)) == [
        {"subscription_id": "s-1", **GROUP, "id": None, "context": None}
    ]


async def test_a_subscriber_gets_the_messages_of_its_topic_until_it_unsubscribes(node: NodeWorker) -> None:
    await node.watch("shipped", "subscribe", {"topic": "orders.shipped"})
    for number in range(3):
        for topic in ("orders.cancelled", "orders.shipped"):
            assert await node.call("publish", {"topic": topic, "data": {topic: number}}) == NOTHING
    messages = await node.noted("shipped", are(3))
    assert messages == [{"orders.shipped": number} for number in range(3)]
    assert (await node.call("publish", {"topic": "", "data": 1}))["code"] == "topic_not_set"
    await node.bridge.call("node::unwatch", {"what": "shipped"})
    await eventually(
        lambda: "subscribe" not in {each.trigger_type for each in node.bridge.engine.triggers.bindings}
    )
    assert await node.call("publish", {"topic": "orders.shipped", "data": "too late"}) == NOTHING
    assert await node.noted("shipped", are(3)) == messages
