"""HTTP-invoked functions against real servers (spec 04 §7, §8.7)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from iii import register_worker
from iii_helpers.http import HttpInvocationConfig

from bridge.builtins.http_functions import HttpFunctions, HttpFunctionsSettings, worker
from bridge.engine.calls import Call
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.inbound import RegisterFunction
from tests.integration.http.raw_worker import RawWorker, raw_worker
from tests.integration.http.running_bridge import Bridge, eventually

OPEN = HttpFunctionsSettings(block_private_ips=False, require_https=False)


@dataclass
class Remote:
    """A server that answers every request alike and remembers them."""

    reply: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self.answers.wait()
                writer.write(self.reply)
                if b"content-length" not in self.reply:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def headers(self, index: int = 0) -> dict[str, str]:
        lines = self.requests[index].split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def body(self, index: int = 0) -> Any:
        return json.loads(self.requests[index].split(b"\r\n\r\n", 1)[1])


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    remote = Remote()
    remote.answers.set()
    server = await asyncio.start_server(remote.serve, "127.0.0.1", 0)
    remote.port = server.sockets[0].getsockname()[1]
    async with server:
        yield remote


MakeFunctions = Callable[..., HttpFunctions]


@pytest.fixture
async def make_functions() -> AsyncIterator[MakeFunctions]:
    async with AsyncExitStack() as stack:

        def make(settings: HttpFunctionsSettings = OPEN, **options: Any) -> HttpFunctions:
            functions = HttpFunctions(
                settings,
                environ={"TOKEN": "s3cr3t"},
                new_id=lambda: "id-1",
                now_s=lambda: 1700000000.9,
                **options,
            )
            stack.push_async_callback(functions.close)
            return functions

        yield make


async def call(functions: HttpFunctions, url: str, data: Any = None, **invocation: Any) -> bytes:
    message = RegisterFunction("billing::charge", invocation=payload.encode({"url": url, **invocation}))
    handler = functions.offer(message)
    return bytes(await handler(Call("billing::charge", payload.encode(data))))


async def failure_of(functions: HttpFunctions, url: str, **invocation: Any) -> tuple[str, str]:
    with pytest.raises(FunctionFailedError) as caught:
        await call(functions, url, **invocation)
    return caught.value.failure_code, caught.value.message


async def listed_functions(worker: RawWorker) -> set[str]:
    listed = await worker.call("engine::functions::list")
    return {each["function_id"] for each in listed["functions"]}


async def test_the_payload_is_posted_and_the_reply_is_the_result(
    remote: Remote, make_functions: MakeFunctions
) -> None:
    remote.reply = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"ok":true}'
    functions = make_functions()
    url = f"http://127.0.0.1:{remote.port}/webhook?x=1"
    result = await call(
        functions,
        url,
        {"amount": 7},
        headers={"X-Service": "iii"},
        auth={"type": "bearer", "token_key": "TOKEN"},
    )
    assert msgspec.json.decode(result) == {"ok": True}
    assert remote.requests[0].startswith(b"POST /webhook?x=1 HTTP/1.1\r\n")
    assert remote.body() == {"amount": 7}
    sent = remote.headers()
    assert sent["x-iii-function-path"] == "billing::charge"
    assert (sent["x-iii-invocation-id"], sent["x-iii-timestamp"]) == ("id-1", "1700000000")
    assert (sent["x-service"], sent["authorization"]) == ("iii", "Bearer s3cr3t")


async def test_every_method_carries_the_payload(remote: Remote, make_functions: MakeFunctions) -> None:
    functions = make_functions()
    for index, method in enumerate(("GET", "PUT", "PATCH", "DELETE")):
        await call(functions, f"http://127.0.0.1:{remote.port}/", {"n": index}, method=method)
        assert remote.requests[index].startswith(method.encode())
        assert remote.body(index) == {"n": index}


async def test_a_redirect_is_not_followed(remote: Remote, make_functions: MakeFunctions) -> None:
    location = f"http://127.0.0.1:{remote.port}/private".encode()
    remote.reply = b"HTTP/1.1 302 Found\r\nlocation: " + location + b"\r\ncontent-length: 6\r\n\r\n<html>"
    assert await call(make_functions(), f"http://127.0.0.1:{remote.port}/") == b""
    assert len(remote.requests) == 1


async def test_a_server_that_is_too_slow_times_out(remote: Remote, make_functions: MakeFunctions) -> None:
    remote.answers.clear()
    code, message = await failure_of(make_functions(), f"http://127.0.0.1:{remote.port}/", timeout_ms=50)
    remote.answers.set()
    assert code == "http_request_failed"
    assert "timed out" in message


async def test_a_closed_port_is_a_failure_to_connect(remote: Remote, make_functions: MakeFunctions) -> None:
    del remote
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    code, message = await failure_of(make_functions(), f"http://127.0.0.1:{port}/")
    assert code == "http_request_failed"
    assert "connect" in message


async def test_a_reply_that_breaks_off_says_so(remote: Remote, make_functions: MakeFunctions) -> None:
    remote.reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"
    code, message = await failure_of(make_functions(), f"http://127.0.0.1:{remote.port}/")
    assert code == "http_response_failed"
    assert "broke off" in message


async def test_a_reply_that_is_too_large_is_not_taken_into_memory(
    remote: Remote, make_functions: MakeFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REPLY_LIMIT_BYTES", 100)
    for size_bytes, is_taken in ((100, True), (101, False)):
        body = b'"' + b"a" * (size_bytes - 2) + b'"'
        remote.reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size_bytes + body
        url = f"http://127.0.0.1:{remote.port}/"
        if is_taken:
            assert await call(make_functions(), url) == body
        else:
            assert (await failure_of(make_functions(), url))[0] == "http_response_failed"


async def test_plain_http_behind_an_https_url_is_refused_by_tls(
    remote: Remote, make_functions: MakeFunctions
) -> None:
    code, _ = await failure_of(make_functions(), f"https://127.0.0.1:{remote.port}/", timeout_ms=200)
    assert code == "http_request_failed"
    assert not remote.requests


async def test_a_name_that_resolves_to_a_private_address_is_blocked_when_called(
    remote: Remote, make_functions: MakeFunctions
) -> None:
    async def lookup(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    functions = make_functions(HttpFunctionsSettings(require_https=False), lookup=lookup)
    code, message = await failure_of(functions, f"http://evil.example:{remote.port}/")
    assert code == "url_validation_failed"
    assert message.startswith("Private IP blocked")
    assert not remote.requests


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "2130706433", "127.1"])
async def test_other_spellings_of_loopback_are_blocked(
    host: str, remote: Remote, make_functions: MakeFunctions
) -> None:
    functions = make_functions(HttpFunctionsSettings(require_https=False))
    code, message = await failure_of(functions, f"http://{host}:{remote.port}/")
    assert (code, message.split(":")[0]) == ("url_validation_failed", "Private IP blocked")
    assert not remote.requests


async def test_a_worker_registers_a_function_behind_a_url(
    bridge: Bridge, remote: Remote, make_functions: MakeFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_ENABLED", "false")
    bridge.engine.http_functions = make_functions()
    worker = await asyncio.to_thread(register_worker, bridge.worker_url)
    url = f"http://127.0.0.1:{remote.port}/webhook"
    try:
        registered = worker.register_function("remote::charge", HttpInvocationConfig(url=url, method="PUT"))
        await eventually(lambda: bridge.engine.has_provider("remote::charge"))
        result = await asyncio.to_thread(
            worker.trigger, {"function_id": "remote::charge", "payload": {"amount": 7}}
        )
        assert result == {}
        assert remote.requests[0].startswith(b"PUT /webhook ")
        assert remote.body()["amount"] == 7
        assert "_caller_worker_id" in remote.body()
        registered.unregister()
        await eventually(lambda: not bridge.engine.has_provider("remote::charge"))
        worker.register_function("remote::again", HttpInvocationConfig(url=url))
        await eventually(lambda: bridge.engine.has_provider("remote::again"))
    finally:
        await asyncio.to_thread(worker.shutdown)
        worker._loop.close()  # the SDK leaves its event loop open
    await eventually(lambda: not bridge.engine.has_provider("remote::again"))


@pytest.mark.parametrize(
    "invocation",
    [
        {"url": "http://example.com/"},
        {"url": "https://10.0.0.1/"},
        {"url": "no url"},
        {"url": "https://example.com/", "auth": {"type": "bearer", "token_key": "UNSET"}},
        {"url": "https://example.com/", "method": "TRACE"},
        "nonsense",
    ],
)
async def test_a_refused_registration_leaves_no_function(
    invocation: Any, bridge: Bridge, make_functions: MakeFunctions
) -> None:
    bridge.engine.http_functions = make_functions(HttpFunctionsSettings())
    async with raw_worker(bridge.worker_url) as worker:
        await worker.say("registerfunction", id="billing::charge", invocation=invocation)
        await worker.settled()
        assert (await worker.call("billing::charge"))["code"] == "function_not_found"


async def test_each_function_reaches_its_own_url_and_is_listed_until_it_is_withdrawn(
    bridge: Bridge, remote: Remote, make_functions: MakeFunctions
) -> None:
    bridge.engine.http_functions = make_functions()
    async with raw_worker(bridge.worker_url) as worker:
        for name in ("a", "b"):
            url = f"http://127.0.0.1:{remote.port}/{name}"
            await worker.say("registerfunction", id=f"remote::{name}", invocation={"url": url})
        assert {"remote::a", "remote::b"} <= await listed_functions(worker)
        await worker.call("remote::b", {"to": "b"})
        await worker.call("remote::a", {"to": "a"})
        called = [
            (request.split()[1], remote.body(index)["to"]) for index, request in enumerate(remote.requests)
        ]
        assert called == [(b"/b", "b"), (b"/a", "a")]
        await worker.say("unregisterfunction", id="remote::a")
        assert "remote::a" not in await listed_functions(worker)
        assert (await worker.call("remote::a"))["code"] == "function_not_found"
        assert len(remote.requests) == 2


async def test_a_worker_that_leaves_late_does_not_take_the_function_of_its_successor(
    bridge: Bridge, remote: Remote, make_functions: MakeFunctions
) -> None:
    bridge.engine.http_functions = make_functions()
    async with raw_worker(bridge.worker_url) as successor:
        async with raw_worker(bridge.worker_url) as leaver:
            for worker, path in ((leaver, "old"), (successor, "new")):
                url = f"http://127.0.0.1:{remote.port}/{path}"
                await worker.say("registerfunction", id="remote", invocation={"url": url})
                await worker.settled()
            await leaver.say("unregisterfunction", id="remote")
            await leaver.settled()
        await eventually(lambda: len(bridge.engine.workers) == 1)
        await successor.call("remote")
        assert remote.requests[0].split()[1] == b"/new"
