"""A client that leaves ends its request, wherever that stands; the function itself goes on (spec 04 §3.1)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bridge.builtins.http import GlobalMiddleware
from tests.integration.http.conftest import MakeBridge
from tests.integration.http.running_bridge import Bridge, eventually
from tests.support.waiting import PATIENCE_S

GET = b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n"


def post(content_type: str, size_bytes: int) -> bytes:
    about = f"content-type: {content_type}\r\ncontent-length: {size_bytes}"
    head = f"POST /x HTTP/1.1\r\nhost: x\r\n{about}\r\n\r\n"
    return head.encode() + b'"' + b"a" * (size_bytes - 2) + b'"'


class Work:
    """A function that runs until it is told to end."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.released = asyncio.Event()
        self.finished = asyncio.Event()

    async def __call__(self, _: Any) -> Any:
        self.started.set()
        await self.released.wait()
        self.finished.set()
        return {"body": "nobody reads this"}


async def leave(bridge: Bridge, *pieces: bytes, after: asyncio.Event) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    for piece in pieces:
        writer.write(piece)
    async with asyncio.timeout(PATIENCE_S):
        await after.wait()
    writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET,
        post("application/json", 2),
        post("application/json", 300_000),
        post("text/plain", 2),
        post("text/plain", 300_000),
    ],
    ids=["get", "json", "large json", "text", "large text"],
)
async def test_its_request_ends_and_the_function_goes_on(request_bytes: bytes, bridge: Bridge) -> None:
    work = Work()
    bridge.function("f", work)
    bridge.route("f", "/x", "GET")
    bridge.route("f", "/x", "POST")
    await leave(bridge, request_bytes, after=work.started)
    await eventually(lambda: not bridge.http._server._state.tasks)
    assert len(bridge.channels) == 0
    work.released.set()
    async with asyncio.timeout(PATIENCE_S):
        await work.finished.wait()


async def test_the_functions_after_the_one_that_runs_are_not_asked(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(middleware=(GlobalMiddleware("global"),))
    work = Work()
    bridge.function("global", work)
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x")
    await leave(bridge, GET, after=work.started)
    await eventually(lambda: not bridge.http._server._state.tasks)
    work.released.set()
    async with asyncio.timeout(PATIENCE_S):
        await work.finished.wait()
    assert [call.function_id for call in bridge.calls] == ["global"]


async def test_a_request_that_waits_for_its_turn_gives_it_up(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(concurrency_request_limit=1)
    work = Work()
    bridge.function("f", work)
    bridge.route("f", "/x")
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(bridge.client.get("/x"))
        async with asyncio.timeout(PATIENCE_S):
            await work.started.wait()
        for _ in range(10):
            await leave(bridge, GET, after=work.started)
        await eventually(lambda: len(bridge.http._server._state.tasks) == 1)
        assert bridge.http.connection_count == 1
        work.released.set()
    assert first.result().status_code == 200
    assert len(bridge.calls) == 1


async def test_a_handler_that_reads_sees_what_came_and_then_the_end(bridge: Bridge) -> None:
    requests: asyncio.Queue[Any] = asyncio.Queue()
    bridge.function("f", requests.put)
    bridge.route("f", "/x", "POST")
    _, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    ref = (await requests.get())["request_body"]
    url = f"{bridge.worker_url}/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir=read"
    async with connect(url) as body:
        assert await body.recv() == b"half"
        writer.close()
        with pytest.raises(ConnectionClosed):
            await body.recv()


async def test_a_client_that_never_ends_its_request_is_left_after_a_while(bridge: Bridge) -> None:
    bridge.function("f", {"body": "early"})
    bridge.route("f", "/x", "POST")
    server = bridge.http._server
    server.apply(replace(server._limits, linger_s=0.05), keep_alive_timeout_s=75)
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.read()).endswith(b'"early"')
    await eventually(lambda: bridge.http.connection_count == 0)
    writer.close()


async def test_an_answer_before_the_end_of_the_request_arrives_before_the_connection_closes(
    bridge: Bridge,
) -> None:
    bridge.function("f", {"body": "early"})
    bridge.route("f", "/x", "POST")
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 300000\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.read()).endswith(b'"early"')
    assert bridge.http.connection_count == 1
    writer.write(b"a" * 300_000)
    await eventually(lambda: bridge.http.connection_count == 0)
    writer.close()


async def test_a_client_that_goes_on_sending_something_else_is_cut_off(bridge: Bridge) -> None:
    bridge.function("f", {"body": "early"})
    bridge.route("f", "/x", "POST")
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(b"POST /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.read()).endswith(b'"early"')
    writer.write(b"not a chunk\r\n")
    await eventually(lambda: bridge.http.connection_count == 0)
    writer.close()
