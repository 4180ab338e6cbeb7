"""What a session may call on a port with rules, and through what its calls go."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.engine.access import AccessRules, ExposedIds, ExposedMetadata, Pattern
from tests.integration.rbac.guarded import Guarded, refuse
from tests.integration.worker_socket.live import Client

API = ExposedIds(Pattern("api::*"))
DISCOVERY = ExposedIds(Pattern("engine::functions::*"))


def error_of(answer: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = answer["error"]
    return error


async def ids_seen_by(client: Client) -> list[str]:
    """Return which functions a client is shown."""
    answer = await client.call("engine::functions::list", {"include_internal": True})
    return [row["function_id"] for row in answer["result"]["functions"]]


async def test_an_exposed_function_is_called_and_another_is_forbidden(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(API,))
    bridge.offer("api::x", lambda _: "done")
    bridge.offer("private::x")
    client = await bridge.client()
    assert (await client.call("api::x"))["result"] == "done"
    answer = await client.call("private::x")
    assert answer["function_id"] == "private::x"
    assert error_of(answer) == {
        "code": "FORBIDDEN",
        "message": "function 'private::x' not allowed (add to rbac.expose_functions)",
    }
    assert bridge.given["private::x"] == []


async def test_an_unknown_function_is_forbidden_like_a_secret_one(bridge: Guarded) -> None:
    client = await bridge.client()
    assert error_of(await client.call("nowhere"))["code"] == "FORBIDDEN"


async def test_a_void_call_that_is_forbidden_is_answered(bridge: Guarded) -> None:
    client = await bridge.client()
    await client.say("invokefunction", function_id="private::x", data={}, action={"type": "void"})
    answer = await client.hear("invocationresult")
    assert answer["invocation_id"]
    assert error_of(answer)["code"] == "FORBIDDEN"


async def test_a_message_for_a_queue_is_forbidden_like_a_call(bridge: Guarded) -> None:
    client = await bridge.client()
    answer = await client.call("private::x", action={"type": "enqueue", "queue": "default"})
    assert error_of(answer)["code"] == "FORBIDDEN"


async def test_a_queue_may_not_call_the_engine_for_a_session(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(ExposedIds(Pattern("*")),))
    client = await bridge.client()
    answer = await client.call("engine::register_trigger", action={"type": "enqueue", "queue": "default"})
    assert error_of(answer)["code"] == "FORBIDDEN"


@pytest.mark.parametrize("function_id", ["chain::delay", "chain::join", "chain::wait_for_event"])
async def test_a_queue_may_not_enqueue_for_a_session_what_that_may_not_call(
    bridge: Guarded, function_id: str
) -> None:
    bridge.rules = replace(bridge.rules, exposed=(ExposedIds(Pattern("chain::*")),))
    client = await bridge.client()
    answer = await client.call(function_id, action={"type": "enqueue", "queue": "default"})
    assert error_of(answer)["code"] == "FORBIDDEN"


async def test_a_forbidden_function_stays_so_though_exposed(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(API,))
    bridge.allow(forbidden_functions=["api::x", "engine::log::info"])
    bridge.offer("api::x")
    bridge.offer("engine::log::info")
    client = await bridge.client()
    for function_id in ("api::x", "engine::log::info"):
        message = error_of(await client.call(function_id))["message"]
        assert "rbac.forbidden_functions" in message
        assert "expose_functions" not in message


async def test_infrastructure_is_callable_and_discovery_is_not(bridge: Guarded) -> None:
    bridge.offer("engine::log::info", lambda _: "logged")
    client = await bridge.client()
    assert (await client.call("engine::log::info"))["result"] == "logged"
    for function_id in (
        "engine::functions::list",
        "engine::functions::info",
        "engine::workers::info",
        "engine::triggers::info",
        "engine::registered-triggers::list",
    ):
        assert error_of(await client.call(function_id))["code"] == "FORBIDDEN"


async def test_a_worker_that_handles_a_call_calls_within_its_rights(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(API,))
    bridge.offer("private::x")
    client = await bridge.client()
    trusted = await bridge.trusted_client()
    await client.say("registerfunction", id="mine")
    assert await client.is_served()
    await trusted.say(
        "invokefunction", function_id="mine", invocation_id="00000000-0000-0000-0000-000000000001", data={}
    )
    asked = await client.hear("invokefunction")
    assert error_of(await client.call("private::x", baggage=asked["baggage"]))["code"] == "FORBIDDEN"


async def test_a_session_is_shown_what_it_may_call(bridge: Guarded) -> None:
    bridge.rules = replace(
        bridge.rules, exposed=(API, DISCOVERY, ExposedMetadata({"tier": Pattern("free*")}))
    )
    bridge.allow(allowed_functions=["only::allowed"])
    bridge.offer("api::x")
    bridge.offer("only::allowed")
    bridge.offer("private::x")
    trusted = await bridge.trusted_client()
    await trusted.say("registerfunction", id="by::metadata", metadata={"tier": "free-1"})
    await trusted.say("registerfunction", id="paid", metadata={"tier": "paid"})
    assert await trusted.is_served()
    client = await bridge.client()
    seen = [each for each in await ids_seen_by(client) if not each.startswith("engine::")]
    assert seen == ["api::x", "by::metadata", "only::allowed"]
    assert {"private::x", "auth"} < set(await ids_seen_by(trusted))

    answer = await client.call("engine::functions::info", {"function_id": "private::x"})
    assert error_of(answer) == {
        "code": "FORBIDDEN",
        "message": "Function 'private::x' is not visible to this session.",
    }
    answer = await client.call("engine::functions::info", {"function_ids": ["api::x", "private::x", "no"]})
    assert [each.get("error") for each in answer["result"]["functions"]] == [None, "forbidden", "not_found"]


async def test_a_function_cannot_be_exposed_by_offering_another_of_its_id(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(ExposedMetadata({"public": True}),))
    trusted = await bridge.trusted_client()
    await trusted.say("registerfunction", id="secret")
    assert await trusted.is_served()
    client = await bridge.client()
    await client.say("registerfunction", id="secret", metadata={"public": True})
    assert error_of(await client.call("secret"))["code"] == "FORBIDDEN"


async def test_a_middleware_is_called_instead_and_its_answer_is_the_answer(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(API,), middleware_function_id="middle")
    bridge.allow(context={"user_id": "u1"})
    bridge.offer("middle", lambda given: {"by": given["context"]["user_id"]})
    bridge.offer("api::x")
    client = await bridge.client()
    assert (await client.call("api::x", {"a": 1}))["result"] == {"by": "u1"}
    assert bridge.given["middle"] == [
        {
            "function_id": "api::x",
            "payload": {"a": 1},
            "action": None,
            "context": {"user_id": "u1"},
            "namespace": "default",
        }
    ]
    assert bridge.given["api::x"] == []


async def test_the_middleware_is_told_the_action_and_every_call_is_answered(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(API,), middleware_function_id="middle")
    bridge.offer("middle", lambda given: given["action"])
    client = await bridge.client()
    action = {"type": "enqueue", "queue": "q"}
    assert (await client.call("api::x", action=action))["result"] == action
    await client.say("invokefunction", function_id="api::x", data={}, action={"type": "void"})
    assert (await client.hear("invocationresult"))["result"] == {"type": "void"}


async def test_a_middleware_that_throws_fails_the_call(bridge: Guarded) -> None:
    bridge.rules = AccessRules(middleware_function_id="middle")
    bridge.offer("middle", refuse)
    bridge.offer("api::x")
    client = await bridge.client()
    assert error_of(await client.call("api::x"))["message"] == "no"
    assert bridge.given["api::x"] == []


async def test_the_middleware_is_not_called_for_what_is_forbidden_nor_for_the_engine(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(DISCOVERY,), middleware_function_id="middle")
    bridge.offer("middle")
    client = await bridge.client()
    assert error_of(await client.call("api::x"))["code"] == "FORBIDDEN"
    assert "functions" in (await client.call("engine::functions::list"))["result"]
    assert bridge.given["middle"] == []


async def test_a_function_of_a_worker_goes_through_the_middleware_whatever_its_name(bridge: Guarded) -> None:
    bridge.rules = AccessRules(middleware_function_id="middle")
    bridge.offer("middle", lambda _: "seen")
    trusted = await bridge.trusted_client()
    await trusted.say("registerfunction", id="engine::foo")
    assert await trusted.is_served()
    client = await bridge.client()
    assert (await client.call("engine::foo"))["result"] == "seen"


async def test_the_middleware_is_the_one_of_the_namespace_of_the_call(bridge: Guarded) -> None:
    bridge.rules = AccessRules(middleware_function_id="middle")
    bridge.offer("middle")
    trusted = await bridge._exits.enter_async_context(bridge.trusted.client())
    await trusted.introduce(namespace="shop")
    await trusted.say("registerfunction", id="middle")
    assert await trusted.is_served()
    client = await bridge.client()
    await client.say(
        "invokefunction",
        function_id="api::x",
        namespace="shop",
        data={},
        metadata={"m": 1},
        invocation_id="00000000-0000-0000-0000-000000000001",
    )
    asked = await trusted.serve_one("shop's")
    assert asked["data"]["namespace"] == "shop"
    assert asked["metadata"] == {"m": 1}
    assert (await client.hear("invocationresult"))["result"] == "shop's"
    assert bridge.given["middle"] == []
