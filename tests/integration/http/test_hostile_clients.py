"""What a hostile client sends is refused clearly and costs a bounded amount (spec 04 §5)."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bridge.builtins.http.connection import MAX_LINGERING_REFUSALS, MAX_PIPELINED
from tests.integration.http.conftest import MakeBridge
from tests.integration.http.running_bridge import Bridge, eventually, raw_exchange
from tests.support.waiting import PATIENCE_S


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


async def send_for_ever(stream: ClientConnection) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await stream.send(b"x" * 65536)


async def assert_still_serves(bridge: Bridge) -> None:
    bridge.function("alive", {"body": "alive"})
    bridge.route("alive", "/alive")
    assert (await bridge.client.get("/alive")).json() == "alive"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /?q=" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nx-bomb: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nx-endless: " + b"a" * 70_000,
    ],
    ids=["path", "query", "header", "headers", "unfinished"],
)
async def test_a_huge_head_is_refused(head: bytes, bridge: Bridge) -> None:
    response = await raw_exchange(bridge.port, head)
    assert status_of(response) == 431
    assert b"HEADERS_TOO_LARGE" in response
    await assert_still_serves(bridge)


async def test_a_head_within_the_limit_is_served_in_any_pieces(bridge: Bridge) -> None:
    bridge.function("f", {"body": "served"})
    bridge.route("f", "/x", "POST")
    head = (
        b"POST /x HTTP/1.1\r\nx-large: "
        + b"a" * 60_000
        + b"\r\ncontent-length: 100000\r\nconnection: close\r\n\r\n"
    )
    for pieces in ([head + b"b" * 100_000], [head[:30_000], head[30_000:], b"b" * 100_000]):
        response = await raw_exchange(bridge.port, *pieces)
        assert status_of(response) == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /x?q=\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"POST /x HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        b"CONNECT evil:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_400(request_bytes: bytes, bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", "POST")
    response = await raw_exchange(bridge.port, request_bytes)
    assert status_of(response) == 400
    await assert_still_serves(bridge)


async def test_a_head_that_trickles_in_is_cut_off(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(head_timeout_ms=1_000)  # within which a busy machine sends a whole one
    heads: list[tuple[bytes, ...]] = [(), (b"GET / HT",), (b"GET / HTTP/1.1\r\nx: a\r\n",)]
    cut_off = await asyncio.gather(*(raw_exchange(bridge.port, *pieces) for pieces in heads))
    assert [status_of(each) for each in cut_off] == [408] * 3
    await assert_still_serves(bridge)


async def test_a_json_body_that_trickles_in_is_cut_off(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(default_timeout_ms=50)
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", "POST")
    head = (
        b"POST /x HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 10\r\n"
    )
    response = await raw_exchange(bridge.port, head + b"\r\n{")
    assert status_of(response) == 408
    assert not bridge.calls


async def test_a_json_body_over_the_limit_is_a_413(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(body_limit_bytes=1000)
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", "POST")
    fits = b'"' + b"a" * 998 + b'"'
    json_type = {"content-type": "application/json"}
    assert (await bridge.client.post("/x", content=fits, headers=json_type)).status_code == 200
    declared = await bridge.client.post("/x", content=fits + b" ", headers=json_type)
    assert (declared.status_code, declared.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")

    async def undeclared() -> Any:
        for _ in range(100):
            yield b"a" * 500

    chunked = await bridge.client.post("/x", content=undeclared(), headers=json_type)
    assert chunked.status_code == 413
    assert len(bridge.calls) == 1


async def test_a_body_shorter_than_declared_is_dropped_with_its_client(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", "POST")
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(b"POST /x HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: len(bridge.channels) == 0)
    assert not bridge.calls
    await assert_still_serves(bridge)
    assert await reader.read() == b""


async def test_what_follows_the_declared_body_is_not_part_of_it(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": request["body"]}

    bridge.function("f", echo)
    bridge.route("f", "/x", "POST")
    response = await raw_exchange(
        bridge.port,
        b"POST /x HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}garbage\r\n\r\n",
    )
    assert b'"garbage' not in response
    await assert_still_serves(bridge)


async def test_connections_beyond_the_limit_are_refused(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(max_connections=5)
    idle = [await asyncio.open_connection("127.0.0.1", bridge.port) for _ in range(5)]
    await eventually(lambda: len(bridge.http._server._state.connections) == 5)
    refused = await raw_exchange(bridge.port)
    assert status_of(refused) == 503
    for _, writer in idle:
        writer.close()
    await eventually(lambda: not bridge.http._server._state.connections)
    await assert_still_serves(bridge)


async def test_refused_connections_are_held_in_small_numbers_and_cost_nobody_a_place(
    make_bridge: MakeBridge,
) -> None:
    bridge = await make_bridge(max_connections=1)
    _, accepted = await asyncio.open_connection("127.0.0.1", bridge.port)
    refused = [await asyncio.open_connection("127.0.0.1", bridge.port) for _ in range(100)]
    for reader, _ in refused:
        assert status_of(await reader.read()) == 503
    await eventually(lambda: len(bridge.http._server._state.refused) == MAX_LINGERING_REFUSALS)
    accepted.close()
    await eventually(lambda: bridge.http.connection_count == 0)
    await assert_still_serves(bridge)
    for _, writer in refused:
        writer.close()


async def test_a_pipelined_request_waits_for_the_one_before(bridge: Bridge) -> None:
    bridge.function("f", {"body": "answer"})
    bridge.route("f", "/x")
    request = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    response = await raw_exchange(bridge.port, request + request + last)
    assert response.count(b'"answer"') == 3


async def test_requests_sent_ahead_do_not_pile_up(bridge: Bridge) -> None:
    released = asyncio.Event()

    async def wait(_: Any) -> Any:
        await released.wait()
        return {"body": "answer"}

    bridge.function("f", wait)
    bridge.route("f", "/x")
    get = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"
    assert await raw_exchange(bridge.port, get * (MAX_PIPELINED + 2)) == b""
    assert len(bridge.calls) <= 1
    released.set()
    last = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    response = await raw_exchange(bridge.port, get * MAX_PIPELINED + last)
    assert response.count(b'"answer"') == MAX_PIPELINED + 1


async def test_an_upgrade_is_ignored(bridge: Bridge) -> None:
    bridge.function("f", {"body": "plain"})
    bridge.route("f", "/x")
    response = await raw_exchange(
        bridge.port,
        b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    )
    assert status_of(response) == 200


@pytest.mark.parametrize("ending", [b"", b"connection: close\r\n"], ids=["keep-alive", "close"])
async def test_a_client_that_never_reads_its_response_is_cut_off(
    ending: bytes, make_bridge: MakeBridge
) -> None:
    bridge = await make_bridge(write_timeout_ms=100)
    bridge.function("f", {"body": "x" * 20_000_000})
    bridge.route("f", "/large")
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port, limit=1)
    writer.write(b"GET /large HTTP/1.1\r\nhost: x\r\n" + ending + b"\r\n")
    await eventually(lambda: len(bridge.calls) == 1)
    await eventually(lambda: not bridge.http._server._state.connections)
    writer.close()
    await assert_still_serves(bridge)


async def test_the_last_bytes_of_a_response_are_not_waited_for_after_the_keep_alive_time(
    make_bridge: MakeBridge,
) -> None:
    bridge = await make_bridge(write_timeout_ms=100, keep_alive_timeout_s=1)
    bridge.function("f", {"body": "x" * 30_000})
    bridge.route("f", "/x")
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port, limit=1)
    (connection,) = bridge.http._server._state.connections
    while not connection.transport.get_write_buffer_size():
        answered = len(bridge.calls)
        writer.write(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n")
        await eventually(lambda answered=answered: len(bridge.calls) > answered)
    await eventually(lambda: not bridge.http._server._state.connections)
    writer.close()


async def test_a_client_that_never_reads_its_stream_is_cut_off_and_the_writer_with_it(
    make_bridge: MakeBridge,
) -> None:
    bridge = await make_bridge(write_timeout_ms=100)
    requests: asyncio.Queue[Any] = asyncio.Queue()
    bridge.function("f", requests.put)
    bridge.route("f", "/endless")
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port, limit=1)
    writer.write(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
    ref = (await requests.get())["response"]
    url = f"{bridge.worker_url}/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir=write"
    async with connect(url) as stream:
        with pytest.raises(ConnectionClosed):
            await send_for_ever(stream)
    await eventually(lambda: not bridge.http._server._state.connections)
    writer.close()
