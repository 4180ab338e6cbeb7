"""The channel sockets on the worker port (spec 04 §6.2 to §6.5, §8.8)."""

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.builtins.channels import Channel
from tests.integration.http.raw_worker import raw_worker
from tests.integration.http.running_bridge import Bridge, eventually, raw_exchange
from tests.support.waiting import PATIENCE_S


def url_of(bridge: Bridge, channel: Channel, direction: str) -> str:
    return f"{bridge.worker_url}/ws/channels/{channel.id}?key={channel.access_key}&dir={direction}"


async def refusal(url: str) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as caught:
        await connect(url)
    return caught.value.response.status_code, bytes(caught.value.response.body)


async def received(socket: ClientConnection) -> list[str | bytes]:
    items: list[str | bytes] = []
    try:
        async for item in socket:
            items.append(item)  # noqa: PERF401 - what came before a lost connection counts
    except ConnectionClosed:
        pass
    return items


async def send_for_ever(socket: ClientConnection) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await socket.send("x")
            await asyncio.sleep(0)  # sending alone never lets the server run


async def test_a_bad_query_and_an_unknown_channel_are_refused_before_the_upgrade(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    base = f"{bridge.worker_url}/ws/channels/{channel.id}"
    for query in ("", "?dir=read", f"?key={channel.access_key}", f"?key={channel.access_key}&dir=both"):
        assert (await refusal(base + query))[0] == 400
    assert await refusal(base + "?key=wrong&dir=read") == (404, b"Channel not found")
    assert await refusal(f"{bridge.worker_url}/ws/channels/none?key=k&dir=read") == (
        404,
        b"Channel not found",
    )


async def test_what_is_no_websocket_is_refused_before_the_channel_is_looked_up(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    for url in (url_of(bridge, channel, "read"), f"{bridge.worker_url}/ws/channels/none?key=k&dir=read"):
        response = await bridge.client.get(url.replace("ws://", "http://"))
        assert response.status_code == 400
    async with connect(url_of(bridge, channel, "read")):
        pass


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_another_method_is_refused_before_anything_else(method: str, bridge: Bridge) -> None:
    port = int(bridge.worker_url.rpartition(":")[2])
    response = await raw_exchange(port, f"{method} /ws/channels/none HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert response.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: GET\r\n" in response


@pytest.mark.parametrize(
    "path",
    [
        "/ws/channels/",
        "/ws/channels/../channels/{id}",
        "/ws/channels/%2e%2e%2f{id}",
        "/ws/channels/{id}/",
        "/ws/channels/{id}%00",
        "/ws/channels/%ff%fe",
    ],
)
async def test_a_hostile_path_is_an_unknown_channel(path: str, bridge: Bridge) -> None:
    channel = bridge.channels.create()
    url = f"{bridge.worker_url}{path.format(id=channel.id)}?key={channel.access_key}&dir=read"
    assert await refusal(url) == (404, b"Channel not found")


@pytest.mark.parametrize("key", ["%ff%fe", "%ed%a0%80", "%00", "a" * 6000])
async def test_a_hostile_key_is_a_wrong_key(key: str, bridge: Bridge) -> None:
    channel = bridge.channels.create()
    url = f"{bridge.worker_url}/ws/channels/{channel.id}?key={key}&dir=read"
    assert await refusal(url) == (404, b"Channel not found")


async def test_a_path_that_is_too_long_is_refused(bridge: Bridge) -> None:
    assert (await refusal(f"{bridge.worker_url}/ws/channels/{'a' * 9000}?key=k&dir=read"))[0] == 414


@pytest.mark.parametrize(
    "request_bytes",
    [b"nonsense\r\n\r\n", b"GET /ws/channels/\xff?key=k&dir=read HTTP/1.1\r\nhost: x\r\n\r\n"],
)
async def test_what_is_no_http_is_hung_up_on(request_bytes: bytes, bridge: Bridge) -> None:
    port = int(bridge.worker_url.rpartition(":")[2])
    assert await raw_exchange(port, request_bytes) == b""
    channel = bridge.channels.create()
    async with connect(url_of(bridge, channel, "write")):
        pass


async def test_a_channel_outlives_the_worker_that_made_it(bridge: Bridge) -> None:
    async with raw_worker(bridge.worker_url) as worker:
        made = await worker.call("engine::channels::create", {"buffer_size": 2048})
    await eventually(lambda: not bridge.engine.workers)
    (reader, writer) = (
        f"{bridge.worker_url}/ws/channels/{made[end]['channel_id']}?key={made[end]['access_key']}"
        f"&dir={made[end]['direction']}"
        for end in ("reader", "writer")
    )
    async with connect(writer) as socket:
        await socket.send(b"kept")
    async with connect(reader) as socket:
        assert await received(socket) == [b"kept"]


async def test_messages_pass_in_order_and_the_end_follows(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    async with connect(url_of(bridge, channel, "write")) as writer:
        await writer.send("text")
        await writer.send(b"binary")
        await writer.send("")
    async with connect(url_of(bridge, channel, "read")) as reader:
        assert await received(reader) == ["text", b"binary", ""]
    await eventually(lambda: len(bridge.channels) == 0)


async def test_a_query_of_the_engine_address_may_stand_before(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    url = f"{bridge.worker_url}/ws/channels/{channel.id}?token=x&key={channel.access_key}&dir=write"
    async with connect(url) as writer:
        await writer.send("x")


async def test_an_end_taken_before_is_closed_at_once(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    for direction in ("read", "write"):
        url = url_of(bridge, channel, direction)
        async with connect(url), connect(url) as second:
            assert await received(second) == []


async def test_a_lost_writer_ends_the_stream(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    async with connect(url_of(bridge, channel, "read")) as reader:
        writer = await connect(url_of(bridge, channel, "write"))
        await writer.send("last")
        writer.transport.abort()
        assert await received(reader) == ["last"]


async def test_a_lost_reader_cuts_the_writer_at_its_next_message(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    reader = await connect(url_of(bridge, channel, "read"))
    async with connect(url_of(bridge, channel, "write")) as writer:
        await reader.close()
        with pytest.raises(ConnectionClosed):
            await send_for_ever(writer)
    await eventually(lambda: len(bridge.channels) == 0)


async def test_a_full_channel_stops_the_reading_of_the_writers_socket(bridge: Bridge) -> None:
    channel = bridge.channels.create(max_messages=2)
    frame = b"x" * 64 * 1024
    sent = 0
    async with connect(url_of(bridge, channel, "write")) as writer:
        try:
            async with asyncio.timeout(0.5):
                while True:
                    await writer.send(frame)
                    sent += 1
        except TimeoutError:
            pass
        assert sent < 1000
        async with connect(url_of(bridge, channel, "read")) as reader:
            got = [await reader.recv() for _ in range(sent)]
        assert set(got) == {frame}


async def test_what_a_reader_sends_is_ignored(bridge: Bridge) -> None:
    channel = bridge.channels.create()
    async with connect(url_of(bridge, channel, "read")) as reader:
        for _ in range(50):
            await reader.send("noise")
        async with connect(url_of(bridge, channel, "write")) as writer:
            await writer.send("signal")
        assert await received(reader) == ["signal"]
