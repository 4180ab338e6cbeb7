"""Streamed requests and responses with the real Python SDK (spec 04 §2.1, §3.1, §3.4, §8.9, §8.11)."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from email import message_from_string
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from iii import IIIClient, InitOptions, register_worker
from iii.helpers import create_channel_async
from iii_helpers.http import HttpResponse, http

from tests.integration.http.conftest import MakeBridge
from tests.integration.http.running_bridge import Bridge, eventually
from tests.support.waiting import PATIENCE_S

# The SDK warns that a later version renames what every released one is used with.
pytestmark = pytest.mark.filterwarnings("ignore:register_trigger is deprecated:DeprecationWarning")

KIB = 1024
MIB = 1024 * KIB


class SdkWorker:
    """The SDK's client, and a way to know that the bridge has what it registered."""

    def __init__(self, bridge: Bridge, client: IIIClient) -> None:
        self._bridge = bridge
        self.client = client

    async def function(self, function_id: str, handler: Callable[..., Awaitable[Any]]) -> None:
        self.client.register_function(function_id, handler)
        await eventually(lambda: self._bridge.engine.has_provider(function_id))

    async def route(self, path: str, method: str, handler: Callable[..., Awaitable[Any]]) -> None:
        function_id = f"test::{method}::{path}"
        await self.function(function_id, handler)
        config = {"api_path": path, "http_method": method}
        self.client.register_trigger({"type": "http", "function_id": function_id, "config": config})
        await eventually(lambda: any(each.api_path == path for each in self._bridge.http._routes))


@pytest.fixture
async def connect(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[Bridge], Awaitable[SdkWorker]]]:
    monkeypatch.setenv("OTEL_ENABLED", "false")
    clients: list[IIIClient] = []

    async def connect_to(bridge: Bridge) -> SdkWorker:
        clients.append(await asyncio.to_thread(register_worker, bridge.worker_url, InitOptions()))
        return SdkWorker(bridge, clients[-1])

    yield connect_to
    for client in clients:
        await asyncio.to_thread(client.shutdown)
        client._loop.close()  # the SDK leaves its event loop open


@pytest.fixture
async def worker(bridge: Bridge, connect: Any) -> SdkWorker:
    return await connect(bridge)


async def test_plain_and_wrapped_handlers_return_a_response(bridge: Bridge, worker: SdkWorker) -> None:
    async def plain(request: dict) -> dict:
        return {
            "status_code": 202,
            "headers": {"Content-Type": "text/xml"},
            "body": f"<{request['method']}/>",
        }

    async def wrapped(request: Any, _: Any) -> Any:
        return HttpResponse(status_code=201, body={"got": request.body})

    await worker.route("py/plain", "GET", plain)
    await worker.route("py/wrapped", "POST", http(wrapped))
    response = await bridge.client.get("/py/plain")
    assert (response.status_code, response.headers["content-type"], response.text) == (
        202,
        "text/xml",
        "<GET/>",
    )
    response = await bridge.client.post("/py/wrapped", json={"a": 1})
    assert (response.status_code, response.json()) == (201, {"got": {"a": 1}})


async def test_a_handler_reads_the_raw_json_beside_the_parsed_one(bridge: Bridge, worker: SdkWorker) -> None:
    async def handler(request: Any, _: Any) -> Any:
        raw = await request.request_body.read_all()
        return {"body": {"parsed_body": request.body, "raw_body": raw.decode()}}

    await worker.route("/raw", "POST", http(handler))
    text = '{"z":2, "a":1, "long": "' + "x" * 200_000 + '"}'
    response = await bridge.client.post("/raw", content=text, headers={"content-type": "application/json"})
    assert response.json() == {"parsed_body": json.loads(text), "raw_body": text}


@pytest.mark.parametrize(
    ("content_type", "content"),
    [("application/json", b""), ("application/json", b"{bad"), ("text/plain", b"plain"), ("text/plain", b"")],
)
async def test_what_is_not_json_is_read_as_it_came(
    content_type: str, content: bytes, bridge: Bridge, worker: SdkWorker
) -> None:
    async def handler(request: Any, _: Any) -> Any:
        raw = await request.request_body.read_all()
        return {"body": {"parsed": request.body, "raw": raw.decode()}}

    await worker.route("/raw", "POST", http(handler))
    response = await bridge.client.post("/raw", content=content, headers={"content-type": content_type})
    assert response.json() == {"parsed": None, "raw": content.decode()}


async def test_a_handler_streams_a_response(bridge: Bridge, worker: SdkWorker) -> None:
    document = bytes(index % 256 for index in range(300 * KIB))

    async def handler(_: Any, response: Any) -> None:
        await response.status(206)
        await response.headers({"content-type": "application/pdf", "bad name": "x"})
        await response.writer.write(document)
        await response.writer.close_async()

    await worker.route("/pdf", "GET", http(handler))
    response = await bridge.client.get("/pdf")
    assert (response.status_code, response.headers["content-type"]) == (206, "application/pdf")
    assert "bad name" not in response.headers
    assert response.content == document


async def test_a_handler_may_only_set_a_head(bridge: Bridge, worker: SdkWorker) -> None:
    async def handler(_: Any, response: Any) -> None:
        await response.status(202)
        await response.headers({"x-job": "7"})
        await response.writer.close_async()

    await worker.route("/accepted", "POST", http(handler))
    response = await bridge.client.post("/accepted")
    assert (response.status_code, response.headers["x-job"], response.content) == (202, "7", b"")


async def test_an_upload_of_any_type_is_read_from_the_channel(bridge: Bridge, worker: SdkWorker) -> None:
    async def handler(request: Any, _: Any) -> Any:
        content = await request.request_body.read_all()
        return {
            "body": {"size": len(content), "sha": hashlib.sha256(content).hexdigest(), "body": request.body}
        }

    await worker.route("/upload", "POST", http(handler))
    document = bytes(index % 251 for index in range(3 * MIB))
    response = await bridge.client.post("/upload", content=document)
    assert response.json() == {"size": 3 * MIB, "sha": hashlib.sha256(document).hexdigest(), "body": None}


async def test_forms_are_decoded_by_the_handler(bridge: Bridge, worker: SdkWorker) -> None:
    async def handler(request: Any, _: Any) -> Any:
        content = await request.request_body.read_all()
        return {"body": {"type": request.headers["content-type"], "text": content.decode()}}

    await worker.route("/form", "POST", http(handler))
    form = (await bridge.client.post("/form", data={"name": "x y", "sign": "ä&="})).json()
    assert dict(parse_qsl(form["text"])) == {"name": "x y", "sign": "ä&="}
    upload = {"file": ("report.txt", b"content of the file")}
    multipart = (await bridge.client.post("/form", files=upload, data={"title": "t", "note": "n"})).json()
    message = message_from_string(f"content-type: {multipart['type']}\r\n\r\n{multipart['text']}")
    parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
    assert {name: part.get_payload() for name, part in parts.items()} == {
        "file": "content of the file",
        "title": "t",
        "note": "n",
    }
    assert parts["file"].get_filename() == "report.txt"


async def test_events_arrive_while_the_handler_still_writes(bridge: Bridge, worker: SdkWorker) -> None:
    proceed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(_: Any, response: Any) -> None:
        await response.headers({"content-type": "text/event-stream", "connection": "keep-alive"})
        for number in range(4):
            await response.writer.write(f"id: {number}\ndata: a\ndata: b\n\n".encode())
            # The next event is sent only after the client got this one.
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
            loop.call_soon_threadsafe(proceed.clear)
        await response.writer.close_async()

    await worker.route("/events", "GET", http(handler))
    received = b""
    async with bridge.client.stream("GET", "/events") as response:
        assert response.headers["content-type"] == "text/event-stream"
        async for chunk in response.aiter_raw():
            received += chunk
            proceed.set()
    assert received == b"".join(b"id: %d\ndata: a\ndata: b\n\n" % number for number in range(4))


async def test_a_stream_outlives_the_time_limit_of_the_head(make_bridge: MakeBridge, connect: Any) -> None:
    bridge = await make_bridge(default_timeout_ms=2_000)
    worker = await connect(bridge)
    may_end = threading.Event()  # handlers run in the SDK's thread

    async def handler(_: Any, response: Any) -> None:
        await response.writer.write(b"first")
        await asyncio.to_thread(may_end.wait)
        await response.writer.write(b"last")
        await response.writer.close_async()

    async def stuck(_: Any) -> None:
        await asyncio.to_thread(may_end.wait)

    await worker.route("/long", "GET", http(handler))
    await worker.route("/stuck", "GET", stuck)
    async with bridge.client.stream("GET", "/long") as response:
        assert (await bridge.client.get("/stuck")).status_code == 504  # the time is up by now
        may_end.set()
        assert await response.aread() == b"firstlast"


async def test_the_result_and_errors_of_a_handler_that_streams_are_ignored(
    bridge: Bridge, worker: SdkWorker
) -> None:
    async def handler(_: Any, response: Any) -> Any:
        await response.writer.write(b"streamed")
        await response.writer.close_async()
        raise ValueError("too late")

    await worker.route("/late", "GET", http(handler))
    response = await bridge.client.get("/late")
    assert (response.status_code, response.content) == (200, b"streamed")


async def test_a_worker_that_leaves_fails_the_request_at_once(bridge: Bridge, worker: SdkWorker) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(_: dict) -> Any:
        loop.call_soon_threadsafe(started.set)
        await asyncio.sleep(60)

    await worker.route("/x", "GET", handler)
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(bridge.client.get("/x"))
        await started.wait()
        for each in list(bridge.engine.workers.values()):
            each.abort()
    assert request.result().status_code == 500
    assert request.result().json()["error"]["code"] == "invocation_stopped"


async def test_a_client_that_leaves_ends_the_stream_of_the_handler(bridge: Bridge, worker: SdkWorker) -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(_: Any, response: Any) -> None:
        try:
            while True:
                await response.writer.write(b"x" * 64 * KIB)
        finally:
            loop.call_soon_threadsafe(failed.set)

    await worker.route("/endless", "GET", http(handler))
    async with bridge.client.stream("GET", "/endless") as response:
        async for _ in response.aiter_raw():
            break
    async with asyncio.timeout(PATIENCE_S):
        await failed.wait()
    await eventually(lambda: not bridge.http._server._state.connections)


async def test_a_slow_client_slows_the_handler_and_nothing_piles_up(
    bridge: Bridge, worker: SdkWorker
) -> None:
    written = 0

    async def handler(_: Any, response: Any) -> None:
        nonlocal written
        for _ in range(64 * 16):
            await response.writer.write(b"x" * 64 * KIB)
            written += 64 * KIB
        await response.writer.close_async()

    await worker.route("/download", "GET", http(handler))
    received = 0
    ahead = 0
    async with bridge.client.stream("GET", "/download") as response:
        async for chunk in response.aiter_raw():
            received += len(chunk)
            if received < 4 * MIB:
                await asyncio.sleep(0.01)
            ahead = max(ahead, written - received)
    assert received == 64 * MIB
    assert ahead < 24 * MIB  # socket buffers, the SDK's and ours


async def test_a_declared_length_holds(bridge: Bridge, worker: SdkWorker) -> None:
    async def handler(request: Any, response: Any) -> None:
        await response.headers({"content-length": request.query_params["declared"]})
        await response.writer.write(b"12345")
        await response.writer.close_async()

    await worker.route("/length", "GET", http(handler))
    exact = await bridge.client.get("/length?declared=5")
    assert (exact.headers["content-length"], exact.content) == ("5", b"12345")
    assert (await bridge.client.get("/length?declared=3")).content == b"123"
    assert (await bridge.client.get("/length?declared=nonsense")).content == b"12345"
    with pytest.raises(httpx.RemoteProtocolError):
        await bridge.client.get("/length?declared=7")


async def test_routes_of_one_shape_conflict_and_the_sdk_hears_of_it(
    bridge: Bridge, worker: SdkWorker, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_: dict) -> Any:
        return {"body": "first"}

    await worker.route("/s/:a/:b", "GET", handler)
    config = {"api_path": "/s/:b/:a", "http_method": "GET"}
    worker.client.register_trigger({"type": "http", "function_id": "test::GET::/s/:a/:b", "config": config})
    await eventually(lambda: "conflicts with already-registered route" in caplog.text)
    assert (await bridge.client.get("/s/1/2")).json() == "first"


async def test_a_stream_written_before_its_reader_exists_is_read_whole(worker: SdkWorker) -> None:
    async def count(data: dict) -> Any:
        values = [record["value"] for record in json.loads(await data["reader"].read_all())]
        return {"count": len(values), "sum": sum(values), "min": min(values), "max": max(values)}

    await worker.function("count", count)
    channel = await create_channel_async(worker.client)
    records = [{"value": value} for value in (12, 2048, 7 * 64, 42, 17)]
    await channel.writer.write(json.dumps(records).encode())
    await channel.writer.close_async()
    payload = {"reader": channel.reader_ref.model_dump()}
    stats = await worker.client.trigger_async({"function_id": "count", "payload": payload})
    assert stats == {"count": 5, "sum": 2567, "min": 12, "max": 2048}


async def test_a_channel_carries_messages_and_bytes_between_workers(bridge: Bridge, connect: Any) -> None:
    producer, processor = await connect(bridge), await connect(bridge)

    async def process(data: dict) -> Any:
        reader, writer = data["reader"], data["writer"]
        messages: list[str] = []
        reader.on_message(messages.append)
        text = b""
        async for chunk in reader:
            text += chunk
            await writer.send_message_async(json.dumps({"type": "progress", "size": len(text)}))
        await writer.send_message_async(json.dumps({"type": "complete", "words": len(text.split())}))
        await writer.write(json.dumps({"messages": messages}).encode())
        await writer.close_async()
        return {"status": "done"}

    await processor.function("process", process)

    async def produce(_: dict) -> Any:
        there = await create_channel_async(producer.client)
        back = await create_channel_async(producer.client, 2048)
        await there.writer.send_message_async("hello")
        for start in range(0, 73, 10):
            await there.writer.write(
                b"one two three four five six seven eight nine ten 11 12 13 14 15 ........."[
                    start : start + 10
                ]
            )
        await there.writer.close_async()
        refs = {"reader": there.reader_ref.model_dump(), "writer": back.writer_ref.model_dump()}
        result = await producer.client.trigger_async({"function_id": "process", "payload": refs})
        messages: list[str] = []
        back.reader.on_message(messages.append)
        content = await back.reader.read_all()
        return {"result": result, "messages": messages, "content": content.decode()}

    await producer.function("produce", produce)
    result = await producer.client.trigger_async({"function_id": "produce", "payload": {}})
    assert result["result"] == {"status": "done"}
    progress = [json.loads(each) for each in result["messages"]]
    assert [each["type"] for each in progress] == ["progress"] * 8 + ["complete"]
    assert progress[-1]["words"] == 16
    assert json.loads(result["content"]) == {"messages": ["hello"]}
    await eventually(lambda: len(bridge.channels) == 0)
