"""Whole bridges on one Redis server: what happens on one is seen on the other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bridge.app import Bridge
from bridge.config import load_config
from tests.integration.storage.redis_server import RedisServer
from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk, connected
from tests.support.waiting import PATIENCE_S, eventually

NO_TEMPORAL = "127.0.0.1:1"  # state, streams and pub/sub need none
GROUP = {"stream_name": "chat", "group_id": "room-7"}
JOIN = {"type": "join", "data": {"subscriptionId": "s-1", "streamName": "chat", "groupId": "room-7"}}


@dataclass
class Site:
    """One bridge and a worker on it."""

    worker: FakeSdk
    stream_url: str

    async def call(self, function_id: str, **data: Any) -> Any:
        return await self.worker.trigger(function_id, data)

    async def watch(self, trigger_type: str, **config: Any) -> list[Any]:
        """Bind a function and return the list of what it is given."""
        received: list[Any] = []

        async def take(call: Delivered) -> None:
            received.append(call.data)

        await self.worker.register({f"watch-{trigger_type}": take})
        await self.worker.send(
            {
                "type": "registertrigger",
                "id": f"t-{trigger_type}",
                "trigger_type": trigger_type,
                "function_id": f"watch-{trigger_type}",
                "config": config,
            }
        )
        await self.worker.settled()
        return received

    async def write(self, number: int) -> None:
        await self.call("stream::set", **GROUP, item_id=f"m{number}", data={"id": number})


def configuration(redis_url: str, prefix: str) -> dict[str, Any]:
    adapter = {"name": "redis", "config": {"redis_url": redis_url}}
    return {
        "workers": [
            {
                "name": "iii-temporal",
                "config": {"address": NO_TEMPORAL, "prefix": prefix, "admin": {"port": 0}},
            },
            {"name": "iii-worker-manager", "config": {"port": 0}},
            {"name": "iii-state", "config": {"adapter": adapter}},
            {"name": "iii-stream", "config": {"port": 0, "adapter": adapter}},
            {"name": "iii-pubsub", "config": {"adapter": adapter}},
        ]
    }


@asynccontextmanager
async def running_site(directory: Path, redis_url: str, prefix: str) -> AsyncIterator[Site]:
    path = directory / "iii-config.yaml"
    path.write_text(json.dumps(configuration(redis_url, prefix)))  # JSON is YAML
    bridge = Bridge(load_config(path, environ={}))
    running = asyncio.create_task(bridge.run(), name="bridge")
    try:
        await asyncio.wait((running, bridge.listening), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        addresses = bridge.listening.result()
        assert addresses.stream is not None
        async with connected(addresses.workers[0]) as worker:
            yield Site(worker, addresses.stream)
    finally:
        bridge.stop()
        await running


@asynccontextmanager
async def two_sites(directory: Path, redis_url: str, prefix: str) -> AsyncIterator[tuple[Site, Site]]:
    async with AsyncExitStack() as exits:
        here = await exits.enter_async_context(running_site(directory, redis_url, prefix))
        there = await exits.enter_async_context(running_site(directory, redis_url, prefix))
        yield here, there


@pytest.fixture
async def sites(tmp_path: Path, shared_server: RedisServer, prefix: str) -> AsyncIterator[tuple[Site, Site]]:
    async with two_sites(tmp_path, shared_server.url, prefix) as sites:
        yield sites


@asynccontextmanager
async def stream_client(site: Site) -> AsyncIterator[ClientConnection]:
    """A client that has joined and seen its sync."""
    async with connect(site.stream_url) as client:
        await client.send(json.dumps(JOIN))
        assert (await next_frame(client))["event"]["type"] == "sync"
        yield client


async def next_frame(client: ClientConnection) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await client.recv())


async def test_state_written_on_one_bridge_is_read_on_the_other(sites: tuple[Site, Site]) -> None:
    here, there = sites
    await here.call("state::set", scope="orders", key="o-1", value={"total": 1})
    assert await there.call("state::get", scope="orders", key="o-1") == {"total": 1}
    assert await there.call("state::list_groups") == {"groups": ["orders"]}
    assert await there.call("state::delete", scope="orders", key="o-1") == {"total": 1}
    assert await here.call("state::get", scope="orders", key="o-1") is None


async def test_updates_of_one_entry_on_both_bridges_lose_nothing(sites: tuple[Site, Site]) -> None:
    ops = [{"type": "increment", "path": "n", "by": 1}]
    await asyncio.gather(
        *(site.call("state::update", scope="orders", key="o-1", ops=ops) for site in sites for _ in range(50))
    )
    assert await sites[0].call("state::get", scope="orders", key="o-1") == {"n": 100}


async def test_a_state_change_fires_the_triggers_of_every_bridge_once(sites: tuple[Site, Site]) -> None:
    here, there = sites
    events = [await site.watch("state", scope="orders") for site in sites]
    await here.call("state::set", scope="audit", key="x", value=0)
    await here.call("state::set", scope="orders", key="o-1", value=1)
    await there.call("state::update", scope="orders", key="o-1", ops=[])
    await here.call("state::delete", scope="orders", key="o-1")
    await eventually(lambda: all(len(each) >= 3 for each in events))
    common = {"type": "state", "scope": "orders", "key": "o-1"}
    expected = [
        {**common, "event_type": "state:created", "old_value": None, "new_value": 1},
        {**common, "event_type": "state:updated", "old_value": 1, "new_value": 1},
        {**common, "event_type": "state:deleted", "old_value": 1, "new_value": None},
    ]
    # Handlers of different events run side by side, so their order is free.
    assert [sorted(each, key=str) for each in events] == [sorted(expected, key=str)] * 2


async def test_a_stream_change_reaches_clients_and_triggers_of_every_bridge(
    sites: tuple[Site, Site],
) -> None:
    here, _ = sites
    events = [await site.watch("stream", stream_name="chat") for site in sites]
    async with AsyncExitStack() as exits:
        clients = [await exits.enter_async_context(stream_client(site)) for site in sites]
        await here.write(1)
        await here.call("stream::send", **GROUP, type="typing", data={"user": "ann"})
        await here.call("stream::delete", **GROUP, item_id="m1")
        seen = [[await next_frame(client) for _ in range(3)] for client in clients]
    assert [frame["event"]["type"] for frame in seen[0]] == ["create", "event", "delete"]
    assert seen[1] == seen[0]
    await eventually(lambda: all(len(each) >= 3 for each in events))
    for each in events:
        assert sorted(each, key=str) == sorted(seen[0], key=str)


async def test_clients_of_both_bridges_see_the_writes_of_both_in_one_order(
    sites: tuple[Site, Site],
) -> None:
    async with AsyncExitStack() as exits:
        clients = [await exits.enter_async_context(stream_client(site)) for site in sites]
        await asyncio.gather(*(site.write(number) for number in range(50) for site in sites))
        seen = [[await next_frame(client) for _ in range(100)] for client in clients]
    assert seen[0] == seen[1]


async def test_a_client_that_joins_sees_what_the_other_bridge_stored(sites: tuple[Site, Site]) -> None:
    here, there = sites
    for number in (2, 1, 3):
        await here.write(number)
    async with connect(there.stream_url) as client:
        await client.send(json.dumps(JOIN))
        sync = await next_frame(client)
    assert sync["event"] == {"type": "sync", "data": [{"id": 2}, {"id": 1}, {"id": 3}]}


async def test_a_published_message_reaches_the_subscribers_of_every_bridge_once(
    sites: tuple[Site, Site],
) -> None:
    here, _ = sites
    topic = f"orders.shipped.{id(sites)}"  # a topic is a channel of the server, whatever the prefix
    received = [await site.watch("subscribe", topic=topic) for site in sites]
    for number in range(20):
        await here.call("publish", topic=topic, data={"n": number})
    await eventually(lambda: all(len(each) >= 20 for each in received))
    assert received == [[{"n": number} for number in range(20)]] * 2


async def test_bridges_under_another_prefix_are_strangers(
    tmp_path: Path, shared_server: RedisServer, sites: tuple[Site, Site], prefix: str
) -> None:
    here, _ = sites
    async with running_site(tmp_path, shared_server.url, f"{prefix}x") as stranger:
        strange, own = await stranger.watch("state"), await here.watch("state")
        await here.call("state::set", scope="orders", key="o-1", value=1)
        await eventually(lambda: own)
        assert await stranger.call("state::get", scope="orders", key="o-1") is None
        assert strange == []


async def test_bridges_outlive_a_restart_of_redis_and_their_clients_miss_nothing(
    tmp_path: Path, server: RedisServer, prefix: str
) -> None:
    async with two_sites(tmp_path, server.url, prefix) as (here, there):
        events = await there.watch("state", scope="orders")
        await here.call("state::set", scope="orders", key="o-1", value=1)
        await here.write(1)
        async with stream_client(there) as client:
            await server.kill()
            for function_id, code, data in (
                ("state::get", "GET_ERROR", {"scope": "orders", "key": "o-1"}),
                ("state::set", "SET_ERROR", {"scope": "orders", "key": "o-1", "value": 2}),
                ("stream::list", "STREAM_GET_GROUP_ERROR", GROUP),
            ):
                with pytest.raises(CallFailed) as caught:
                    await here.call(function_id, **data)
                assert caught.value.code == code
            await server.start()
            with pytest.raises(ConnectionClosed):  # it comes back and gets a fresh sync
                await next_frame(client)
        assert await here.call("state::get", scope="orders", key="o-1") == 1
        await here.call("state::set", scope="orders", key="o-1", value=3)
        await eventually(lambda: events and events[-1]["new_value"] == 3)
        async with stream_client(there) as client:
            await here.write(2)
            assert (await next_frame(client))["event"] == {"type": "create", "data": {"id": 2}}


async def test_a_bridge_offers_the_functions_of_state_streams_and_pubsub_and_no_others(
    sites: tuple[Site, Site],
) -> None:
    listed = await sites[0].call("engine::functions::list", include_internal=True)
    owned = {
        row["function_id"] for row in listed["functions"] if not row["function_id"].startswith("engine::")
    }
    assert {name for name in owned if name.partition("::")[0] in ("state", "stream", "publish")} == {
        "publish",
        *(f"state::{name}" for name in ("set", "get", "delete", "update", "list", "list_groups")),
        *(
            f"stream::{name}"
            for name in ("set", "get", "delete", "update", "list", "list_groups", "list_all", "send")
        ),
    }
    assert {name for name in owned if name.startswith("iii-")} == {
        f"iii-{worker}::on-config-change"
        for worker in ("observability", "pubsub", "queue", "state", "stream")
    }
