"""Whether a response is streamed or buffered is decided by what comes first (spec 04 §3.1)."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from bridge.errors import FunctionFailedError
from tests.integration.http.running_bridge import Bridge, eventually


class Handler:
    """A function whose result and channel the test drives by hand."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.request: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        bridge.function("f", self._run)
        bridge.route("f", "/x", "POST")

    async def _run(self, request: Any) -> Any:
        self.request.set_result(request)
        return await self._result

    def returns(self, result: Any) -> None:
        self._result.set_result(result)

    def fails(self, error: Exception) -> None:
        self._result.set_exception(error)

    async def open(self, end: str) -> ClientConnection:
        ref = (await self.request)[end]
        return await connect(
            f"{self._bridge.worker_url}/ws/channels/{ref['channel_id']}"
            f"?key={ref['access_key']}&dir={ref['direction']}"
        )


@pytest.fixture
async def handler(bridge: Bridge) -> Handler:
    return Handler(bridge)


def status(code: int) -> str:
    return json.dumps({"type": "set_status", "status_code": code})


async def test_a_stream_may_begin_after_a_result_without_a_value(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(bridge.client.post("/x"))
        handler.returns(None)
        async with await handler.open("response") as writer:
            await writer.send(status(206))
            await writer.send(b"hello")
    assert (response.result().status_code, response.result().content) == (206, b"hello")


async def test_a_result_with_a_value_discards_what_was_set_before(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(bridge.client.post("/x"))
        async with await handler.open("response") as writer:
            await writer.send(status(404))
            await (await writer.ping())
            handler.returns({"body": "value"})
    assert (response.result().status_code, response.result().json()) == (200, "value")


async def test_an_error_discards_what_was_set_before(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(bridge.client.post("/x"))
        async with await handler.open("response") as writer:
            await writer.send(status(404))
            await (await writer.ping())
            handler.fails(FunctionFailedError("C", "kaput"))
    assert (response.result().status_code, response.result().json()["error"]["code"]) == (500, "C")


async def test_text_after_the_first_bytes_is_ignored(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(bridge.client.post("/x"))
        async with await handler.open("response") as writer:
            for message in (b"one", status(404), b"two", "noise"):
                await writer.send(message)
        handler.returns({"status_code": 500})
    assert (response.result().status_code, response.result().content) == (200, b"onetwo")


async def test_a_lost_writer_ends_the_response(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(bridge.client.post("/x"))
        writer = await handler.open("response")
        await writer.send(b"all there is")
        await (await writer.ping())
        writer.transport.abort()
        handler.returns(None)
    assert response.result().content == b"all there is"


async def test_after_the_head_only_attached_channels_work(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(
            bridge.client.post("/x", content=b'"raw"', headers={"content-type": "application/json"})
        )
        reader = await handler.open("request_body")
        handler.returns({"body": 1})
    assert response.result().json() == 1
    assert await reader.recv() == b'"raw"'
    await reader.close()
    await eventually(lambda: len(bridge.channels) == 0)
    with pytest.raises(InvalidStatus) as refused:
        await handler.open("response")
    assert refused.value.response.status_code == 404


async def test_bytes_for_a_status_without_body_are_dropped(bridge: Bridge, handler: Handler) -> None:
    async with asyncio.TaskGroup() as tasks:
        response = tasks.create_task(bridge.client.post("/x"))
        async with await handler.open("response") as writer:
            await writer.send(status(204))
            await writer.send(b"dropped")
        handler.returns(None)
    assert (response.result().status_code, response.result().content) == (204, b"")
    assert (await bridge.client.get("/nothing")).status_code == 404
