"""The auth function: asked once for each connection, and nothing is served before it has agreed."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from bridge.listeners.worker_socket import SocketLimits
from tests.integration.rbac.guarded import Guarded, refuse


async def refusal_of(bridge: Guarded, path: str = "/") -> str:
    """Connect, and return why that is refused; then the connection must end."""
    async with connect(f"ws://127.0.0.1:{await bridge.port()}{path}") as connection:
        frame = json.loads(await connection.recv())
        with pytest.raises(ConnectionClosedOK):
            await connection.recv()
    assert frame["type"] == "error"
    assert frame["error"]["code"] == "AUTH_ERROR"
    return str(frame["error"]["message"])


async def test_the_auth_function_is_asked_once_about_headers_query_and_address(bridge: Guarded) -> None:
    bridge.allow(allowed_functions=["api::x"])
    bridge.offer("api::x", lambda given: {"a": given["a"]})
    client = await bridge.client("?api_key=k1&api_key=k%202&flag", additional_headers={"X-Token": "t0k"})
    assert (await client.call("api::x", {"a": 1}))["result"] == {"a": 1}
    (asked,) = bridge.given["auth"]
    assert asked["headers"]["x-token"] == "t0k"
    assert asked["query_params"] == {"api_key": ["k1", "k%202"], "flag": [""]}
    assert asked["ip_address"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/otel"])
async def test_an_auth_function_that_throws_refuses_the_connection(bridge: Guarded, path: str) -> None:
    bridge.rules = replace(bridge.rules, auth_function_id="auth")
    bridge.offer("auth", refuse)
    assert await refusal_of(bridge, path) == "no"
    assert len(bridge.given["auth"]) == 1
    assert bridge.engine.workers == {}


async def test_an_auth_function_that_says_nothing_refuses_the_connection(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, auth_function_id="auth")
    bridge.offer("auth", lambda _: None)
    assert await refusal_of(bridge) == "auth function returned no result"


@pytest.mark.parametrize("answer", ["yes", [], {"allowed_functions": "all"}])
async def test_an_answer_that_is_no_rights_refuses_the_connection(bridge: Guarded, answer: Any) -> None:
    bridge.rules = replace(bridge.rules, auth_function_id="auth")
    bridge.offer("auth", lambda _: answer)
    assert "returned no rights" in await refusal_of(bridge)


async def test_without_the_auth_function_nobody_comes_in(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, auth_function_id="auth")
    assert "auth not found" in await refusal_of(bridge)


async def test_an_auth_function_that_never_answers_refuses_the_connection(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, auth_function_id="auth")
    bridge.offer_slow("auth", asyncio.Event(), {})
    bridge.limits = SocketLimits(handshake_timeout_s=1)
    assert "did not answer within 1 s" in await refusal_of(bridge)


async def test_what_is_said_before_the_auth_function_agrees_waits_for_it(bridge: Guarded) -> None:
    agreed = asyncio.Event()
    bridge.rules = replace(bridge.rules, auth_function_id="auth")
    bridge.offer_slow("auth", agreed, {"allow_function_registration": False})
    async with connect(f"ws://127.0.0.1:{await bridge.port()}") as connection:
        await connection.send(json.dumps({"type": "registerfunction", "id": "x"}))
        await connection.send(json.dumps({"type": "ping"}))
        agreed.set()
        assert json.loads(await connection.recv())["type"] == "workerregistered"
        assert json.loads(await connection.recv())["type"] == "pong"
    assert not bridge.offers("x")
