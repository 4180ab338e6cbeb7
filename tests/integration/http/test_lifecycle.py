"""Starting, changing and stopping the HTTP port (spec 04 §5.4, §5.5, §8.4, §8.6)."""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from bridge.builtins.http import CorsSettings, GlobalMiddleware, HttpSettings
from bridge.errors import ConfigError
from tests.integration.http.conftest import MakeBridge
from tests.integration.http.running_bridge import Bridge, eventually, raw_exchange
from tests.support.waiting import PATIENCE_S


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_a_busy_port_is_named(bridge: Bridge) -> None:
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{bridge.port} is already in use"):
        await bridge.http.apply(HttpSettings(port=bridge.port))


async def test_a_busy_port_changes_nothing(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError):
        await bridge.http.apply(
            HttpSettings(port=taken.getsockname()[1], middleware=(GlobalMiddleware("nobody"),))
        )
    assert (await bridge.client.get("/x")).status_code == 200


async def test_settings_change_without_rebinding(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.function("stop", {"action": "respond", "response": {"status_code": 401}})
    bridge.route("f", "/x")
    await bridge.client.get("/x")
    (connection,) = bridge.http._server._state.connections
    await bridge.http.apply(HttpSettings(port=0, middleware=(GlobalMiddleware("stop"),)))
    assert (await bridge.client.get("/x")).status_code == 401
    assert bridge.http._server._state.connections == {connection}


async def test_each_setting_holds_for_the_next_request(bridge: Bridge) -> None:
    released = asyncio.Event()

    async def wait(_: Any) -> None:
        await released.wait()

    bridge.function("slow", wait)
    bridge.function("f", {"body": 1})
    bridge.route("slow", "/slow")
    bridge.route("f", "/x", "POST")
    await bridge.http.apply(
        HttpSettings(
            port=0,
            default_timeout_ms=500,
            cors=CorsSettings(allowed_origins=("http://a",)),
            body_limit_bytes=2,
            docs_path=None,
        )
    )
    assert (await bridge.client.get("/slow")).status_code == 504
    refused = await bridge.client.post("/x", json={"too": "large"}, headers={"origin": "http://a"})
    assert refused.status_code == 413
    assert refused.headers["access-control-allow-origin"] == "http://a"
    assert (await bridge.client.get("/docs")).status_code == 404
    released.set()


async def test_the_bounds_of_connections_hold_for_the_next_connection(bridge: Bridge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    await eventually(lambda: bridge.http.connection_count == 1)
    await bridge.http.apply(HttpSettings(port=0, max_connections=1, head_limit_bytes=100))
    assert b" 503 " in await raw_exchange(bridge.port)
    writer.write(b"GET / HTTP/1.1\r\nx: " + b"a" * 200 + b"\r\n\r\n")
    assert b" 404 " in await reader.readline()
    writer.close()
    await eventually(lambda: bridge.http.connection_count == 0)
    assert b" 431 " in await raw_exchange(bridge.port, b"GET / HTTP/1.1\r\nx: " + b"a" * 200)


async def test_a_raised_concurrency_limit_lets_waiting_requests_in(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(concurrency_request_limit=1)
    running = 0
    released = asyncio.Event()

    async def wait(_: Any) -> Any:
        nonlocal running
        running += 1
        await released.wait()
        return {"body": 1}

    bridge.function("f", wait)
    bridge.route("f", "/x")
    async with asyncio.TaskGroup() as tasks:
        requests = [tasks.create_task(bridge.client.get("/x")) for _ in range(3)]
        try:
            await eventually(lambda: (len(bridge.http._server._state.tasks), running) == (3, 1))
            await bridge.http.apply(HttpSettings(port=0, concurrency_request_limit=3))
            await eventually(lambda: running == 3)
        finally:
            released.set()
    assert [each.result().status_code for each in requests] == [200] * 3


async def test_another_host_on_the_same_port_needs_a_restart(make_bridge: MakeBridge) -> None:
    port = free_port()
    bridge = await make_bridge(port=port)
    with pytest.raises(ConfigError, match="change the host and restart"):
        await bridge.http.apply(HttpSettings(host="0.0.0.0", port=port))
    assert (await bridge.client.get("/docs")).status_code == 200


async def test_settings_that_come_after_the_end_open_nothing(bridge: Bridge) -> None:
    port = free_port()
    await bridge.http.close()
    await bridge.http.apply(HttpSettings(port=port))
    with pytest.raises(httpx.ConnectError):
        await bridge.client.get(f"http://127.0.0.1:{port}/docs")


async def test_a_new_port_is_served_and_the_old_one_left_with_its_idle_connections(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x")
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"1")
    port = free_port()
    await bridge.http.apply(HttpSettings(port=port))
    assert (await bridge.client.get(f"http://127.0.0.1:{port}/x")).status_code == 200
    async with asyncio.timeout(PATIENCE_S):
        await reader.read()
    writer.close()
    with pytest.raises(httpx.ConnectError):
        await bridge.client.get(f"http://127.0.0.1:{bridge.port}/x")


async def test_closing_lets_a_running_request_end(bridge: Bridge) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def wait(_: Any) -> Any:
        started.set()
        await released.wait()
        return {"body": "finished"}

    bridge.function("f", wait)
    bridge.route("f", "/x")
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(bridge.client.get("/x"))
        await started.wait()
        closing = tasks.create_task(bridge.http.close(deadline_s=5))
        await asyncio.sleep(0)
        assert not closing.done()
        released.set()
    assert request.result().json() == "finished"
    await bridge.http.close(deadline_s=5)


@pytest.mark.parametrize("stuck", ["handler", "middleware"])
async def test_closing_cuts_a_request_that_does_not_end(stuck: str, make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(middleware=(GlobalMiddleware("middleware"),))
    started, released = asyncio.Event(), asyncio.Event()

    async def wait(_: Any) -> None:
        started.set()
        await released.wait()

    bridge.function("middleware", {"action": "continue"})
    bridge.function(stuck, wait)
    bridge.route("handler", "/x")
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(_failure(bridge.client.get("/x")))
        await started.wait()
        await bridge.http.close(deadline_s=0.01)
    released.set()
    assert isinstance(request.result(), httpx.TransportError)
    assert len(bridge.channels) == 0


async def _failure(request: Any) -> Exception | None:
    try:
        await request
    except httpx.TransportError as exc:
        return exc
    return None
