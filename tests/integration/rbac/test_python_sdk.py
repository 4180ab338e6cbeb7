"""The real Python SDK on a port with rules: its token reaches the auth function, its refusals its caller."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from iii import InitOptions, register_worker
from iii.errors import InvocationError

from bridge.engine.access import ExposedIds, Pattern
from bridge.errors import FunctionFailedError
from tests.integration.rbac.guarded import Guarded


def check_token(given: dict[str, Any]) -> dict[str, Any]:
    if given["headers"].get("authorization") != "Bearer t0k":
        raise FunctionFailedError("invocation_failed", "unknown token")
    return {"context": {"user_id": "u1"}, "function_registration_prefix": "acme"}


async def test_a_worker_with_a_token_serves_calls_and_is_refused(bridge: Guarded) -> None:
    bridge.rules = replace(
        bridge.rules,
        auth_function_id="auth",
        exposed=(ExposedIds(Pattern("api::*")),),
        middleware_function_id="middle",
    )
    bridge.offer("auth", check_token)
    bridge.offer("middle", lambda given: {**given["payload"], "by": given["context"]["user_id"]})
    trusted = await bridge.trusted_client()
    offered = asyncio.Event()
    bridge.engine.on_function_offered.append(lambda _: offered.set())
    options = InitOptions(headers={"Authorization": "Bearer t0k"}, otel={"enabled": False})
    url = f"ws://127.0.0.1:{await bridge.port()}"
    sdk = await asyncio.to_thread(register_worker, url, options)
    try:
        sdk.register_function("double", lambda data: {"doubled": data["n"] * 2})
        await offered.wait()
        assert (await trusted.call("acme::double", {"n": 21}))["result"] == {"doubled": 42}
        answer = await asyncio.to_thread(sdk.trigger, {"function_id": "api::x", "payload": {"a": 1}})
        assert answer == {"a": 1, "by": "u1"}
        with pytest.raises(InvocationError) as refusal:
            await asyncio.to_thread(sdk.trigger, {"function_id": "private::x", "payload": {}})
        assert refusal.value.code == "FORBIDDEN"
        assert refusal.value.function_id == "private::x"
    finally:
        await asyncio.to_thread(sdk.shutdown)
        sdk._loop.close()  # the SDK leaves its event loop open
