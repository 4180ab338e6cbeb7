"""What a session may register on a port with rules, and under which names."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from bridge.engine.access import ExposedIds, Pattern
from bridge.engine.functions import BuiltinHandler
from bridge.engine.undoing import Undoing, read_undoing
from bridge.errors import FunctionNotFoundError
from bridge.protocol.inbound import RegisterFunction
from tests.integration.rbac.guarded import Guarded, refuse
from tests.integration.worker_socket.live import Client

EVERYTHING = ExposedIds(Pattern("*"))


async def register_one_of_each(client: Client) -> None:
    """Register a function, a trigger type and a trigger."""
    await client.say("registerfunction", id="f", description="does", metadata={"m": 1})
    await client.say("registertriggertype", id="tt", description="fires")
    await client.say("registertrigger", id="t", trigger_type="tt", function_id="f", config={"c": 1})


def registered_in(bridge: Guarded) -> tuple[bool, bool, bool]:
    triggers = bridge.engine.triggers
    return bridge.offers("f"), triggers.find_type("tt") is not None, triggers.find("t") is not None


def with_hooks(bridge: Guarded) -> None:
    bridge.rules = replace(
        bridge.rules,
        exposed=(EVERYTHING,),
        function_hook_id="on::function",
        trigger_hook_id="on::trigger",
        trigger_type_hook_id="on::type",
    )


async def told(client: Client) -> None:
    """Wait until the hooks have answered: a call of one's own function waits for that, then is refused."""
    await client.say("registerfunction", id="last")
    await client.say(
        "invokefunction",
        function_id="last",
        invocation_id="00000000-0000-0000-0000-0000000000aa",
        data={},
    )
    assert "error" in await client.hear("invocationresult")


async def test_hooks_are_asked_and_may_change_what_is_registered(bridge: Guarded) -> None:
    with_hooks(bridge)
    bridge.allow(context={"user_id": "u1"}, allow_trigger_type_registration=True)
    bridge.offer(
        "on::function", lambda given: {"description": "changed"} if given["function_id"] == "f" else {}
    )
    bridge.offer("on::type", lambda _: {"description": "changed"})
    bridge.offer("on::trigger", lambda _: {"config": {"c": 2}})
    client = await bridge.client()
    await register_one_of_each(client)
    bound = await client.hear("registertrigger")
    assert registered_in(bridge) == (True, True, True)
    assert bound["config"] == {"c": 2}
    context = {"context": {"user_id": "u1"}}
    assert bridge.given["on::function"] == [
        {"function_id": "f", "description": "does", "metadata": {"m": 1}, "namespace": "default"} | context
    ]
    assert bridge.given["on::type"] == [{"trigger_type_id": "tt", "description": "fires"} | context]
    assert bridge.given["on::trigger"] == [
        {
            "trigger_id": "t",
            "trigger_type": "tt",
            "function_id": "f",
            "config": {"c": 1},
            "metadata": None,
            "namespace": "default",
        }
        | context
    ]
    function = bridge.engine.functions.find("f")
    assert function is not None
    assert function.schema.description == "changed"


@pytest.mark.parametrize("answer", [refuse, lambda _: None, lambda _: "yes", lambda _: [], lambda _: True])
async def test_hooks_that_throw_or_return_no_object_admit_nothing(bridge: Guarded, answer: Any) -> None:
    with_hooks(bridge)
    for hook in ("on::function", "on::trigger", "on::type"):
        bridge.offer(hook, answer)
    client = await bridge.client()
    await register_one_of_each(client)
    await told(client)
    assert registered_in(bridge) == (False, False, False)
    assert [len(bridge.given[each]) for each in ("on::function", "on::type", "on::trigger")] == [2, 1, 1]


async def test_hooks_that_are_not_there_admit_nothing(bridge: Guarded) -> None:
    with_hooks(bridge)
    client = await bridge.client()
    await register_one_of_each(client)
    assert await client.is_served()
    assert registered_in(bridge) == (False, False, False)


async def test_registrations_keep_their_order_while_a_hook_thinks(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,), function_hook_id="on::function")
    thought = asyncio.Event()
    bridge.offer_slow("on::function", thought, {})
    client = await bridge.client()
    await client.say("registerfunction", id="f")
    await client.say("unregisterfunction", id="f")
    await client.say("registerfunction", id="g")
    await client.say(
        "invokefunction", function_id="g", invocation_id="00000000-0000-0000-0000-000000000001", data={}
    )
    assert await client.is_served()
    assert not bridge.offers("f")
    thought.set()
    await client.serve_one("late")
    assert (await client.hear("invocationresult"))["result"] == "late"
    assert not bridge.offers("f")
    assert bridge.offers("g")


async def test_a_function_is_not_undone_by_one_that_its_session_may_not_call(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(ExposedIds(Pattern("api::*")),))
    client = await bridge.client()
    await client.say("registerfunction", id="f", metadata={"compensate": "private::refund"})
    await client.say("registerfunction", id="g", metadata={"compensate": "api::undo"})
    await client.say("registerfunction", id="h", metadata={"compensate": 5})
    assert await client.is_served()
    assert (bridge.offers("f"), bridge.offers("g"), bridge.offers("h")) == (False, True, False)


async def test_a_prefix_holds_for_what_undoes_a_function_too(bridge: Guarded) -> None:
    bridge.allow(function_registration_prefix="acme")
    client = await bridge.client()
    await client.say("registerfunction", id="f", metadata={"compensate": "undo"})
    assert await client.is_served()
    (metadata,) = bridge.engine.functions.metadata_of("acme::f")
    assert read_undoing(metadata) == Undoing("acme::undo")


async def test_a_session_that_floods_a_slow_hook_is_dropped(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, function_hook_id="on::function")
    bridge.offer_slow("on::function", asyncio.Event(), {})
    client = await bridge.client()
    other = await bridge.client()
    with suppress(ConnectionClosedError):
        for number in range(10_002):
            await client.say("registerfunction", id=f"f{number}")
    await bridge.trusted.departure_of(client.id)
    assert await other.is_served()


async def test_a_session_without_the_rights_registers_nothing(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,))
    bridge.allow(allow_function_registration=False, allowed_trigger_types=["http"])
    client = await bridge.client()
    await register_one_of_each(client)
    assert await client.is_served()
    assert registered_in(bridge) == (False, False, False)


async def test_without_an_auth_function_everything_may_be_registered(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,))
    client = await bridge.client()
    await register_one_of_each(client)
    assert await client.is_served()
    assert registered_in(bridge) == (True, True, True)


async def test_a_prefix_is_added_for_others_and_taken_away_for_the_worker(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,))
    bridge.allow(function_registration_prefix="acme", allow_trigger_type_registration=True)
    client = await bridge.client()
    trusted = await bridge.trusted_client()
    await register_one_of_each(client)
    assert (await client.hear("registertrigger"))["function_id"] == "acme::f"
    assert bridge.offers("acme::f")
    assert not bridge.offers("f")

    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(trusted.call("acme::f", {"a": 1}))
        asked = await client.serve_one()
    assert asked["function_id"] == "f"
    assert call.result()["result"]["a"] == 1

    await client.say("unregisterfunction", id="f")
    assert await client.is_served()
    assert (await trusted.call("acme::f"))["error"]["code"] == "function_not_found"


async def test_a_hook_sees_the_id_before_the_prefix(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, function_hook_id="on::function")
    bridge.allow(function_registration_prefix="acme")
    bridge.offer("on::function", lambda given: {"function_id": given["function_id"].replace("f", "renamed")})
    client = await bridge.client()
    trusted = await bridge.trusted_client()
    await client.say("registerfunction", id="f")
    await told(client)
    assert bridge.given["on::function"][0]["function_id"] == "f"
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trusted.call("acme::renamed"))
        assert (await client.serve_one())["function_id"] == "f"


async def test_a_trigger_may_not_call_what_its_session_may_not(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(ExposedIds(Pattern("api::*")),))
    client = await bridge.client()
    bridge.offer("private::x")
    await client.say("registertrigger", id="t", trigger_type="cron", function_id="private::x", config={})
    rejected = await client.hear("triggerregistrationresult")
    assert rejected["id"] == "t"
    assert rejected["error"] == {
        "code": "FORBIDDEN",
        "message": "function 'private::x' not allowed in namespace 'default'",
    }


@pytest.mark.parametrize(
    "config",
    [
        {"condition_function_id": "private::x"},
        {"middleware_function_ids": ["api::ok", "private::x"]},
        {"_condition_path": "internal::secret"},
        {"condition_function_id": 5},
    ],
)
async def test_nor_ask_it_first(bridge: Guarded, config: dict[str, Any]) -> None:
    exposed = (ExposedIds(Pattern("api::*")), ExposedIds(Pattern("engine::register_trigger")))
    bridge.rules = replace(bridge.rules, exposed=exposed)
    client = await bridge.client()
    await client.say("registertrigger", id="t", trigger_type="http", function_id="api::x", config=config)
    assert (await client.hear("triggerregistrationresult"))["error"]["code"] == "FORBIDDEN"
    binding = {"trigger_type": "http", "function_id": "api::x", "config": config}
    assert (await client.call("engine::register_trigger", binding))["error"]["code"] == "FORBIDDEN"


async def test_a_binding_made_by_a_call_follows_the_rules_of_the_session(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,))
    bridge.allow(
        function_registration_prefix="acme",
        allowed_trigger_types=["http"],
        forbidden_functions=["acme::no"],
    )
    client = await bridge.client()

    async def bind(trigger_type: str, function_id: str) -> dict[str, Any]:
        return await client.call(
            "engine::register_trigger", {"trigger_type": trigger_type, "function_id": function_id}
        )

    bound = await bind("http", "f")
    binding = bridge.engine.triggers.find(bound["result"]["id"])
    assert binding is not None
    assert binding.function_id == "acme::f"
    assert (await bind("cron", "f"))["error"] == {
        "code": "FORBIDDEN",
        "message": "Trigger type 'cron' is not allowed for this session.",
    }
    assert (await bind("http", "no"))["error"]["code"] == "FORBIDDEN"


async def test_nobody_takes_the_place_of_the_bridge_or_of_its_guards(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,), middleware_function_id="middle")
    bridge.offer("state::get", lambda _: "the bridge's")
    client = await bridge.client()
    await client.say("registerfunction", id="state::get")
    await client.say("registerfunction", id="middle")
    await client.say("registertriggertype", id="engine::workers-available", description="mine")
    assert await client.is_served()
    trusted = await bridge.trusted_client()
    assert (await trusted.call("state::get"))["result"] == "the bridge's"
    assert not bridge.offers("middle")
    own_type = bridge.engine.triggers.find_type("engine::workers-available")
    assert own_type is not None
    assert own_type.owner_name == "iii-engine-functions"


async def test_no_session_has_the_environment_of_the_bridge_sent_to_a_url(bridge: Guarded) -> None:
    asked: list[str] = []

    class UrlFunctions:
        def offer(self, message: RegisterFunction) -> BuiltinHandler:
            asked.append(message.id)
            raise FunctionNotFoundError(message.id)

    bridge.engine.http_functions = UrlFunctions()
    client = await bridge.client()
    url = {"url": "https://example.com"}
    auth = {"auth": {"type": "bearer", "token_key": "PATH"}}
    await client.say("registerfunction", id="secret", invocation=url | auth)
    await client.say("registerfunction", id="malformed", invocation=[1])
    await client.say("registerfunction", id="plain", invocation=url)
    assert await client.is_served()
    assert asked == ["plain"]


async def test_the_triggers_of_trusted_workers_are_out_of_reach(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,))
    trusted = await bridge.trusted_client()
    await trusted.say("registertrigger", id="t", trigger_type="x", function_id="theirs", config={})
    assert await trusted.is_served()
    client = await bridge.client()
    await client.say("registertrigger", id="t", trigger_type="x", function_id="mine", config={})
    await client.say("unregistertrigger", id="t")
    assert await client.is_served()
    binding = bridge.engine.triggers.find("t")
    assert binding is not None
    assert binding.function_id == "theirs"


async def test_a_worker_that_comes_back_gets_its_triggers_back(bridge: Guarded) -> None:
    bridge.rules = replace(bridge.rules, exposed=(EVERYTHING,))
    before = await bridge.client()
    after = await bridge.client()
    for client in (before, after):
        await client.say("registertrigger", id="t", trigger_type="x", function_id="f", config={})
        assert await client.is_served()
    binding = bridge.engine.triggers.find("t")
    assert binding is not None
    assert binding.owner is bridge.engine.workers[after.id]


async def test_a_session_names_and_uses_the_namespaces_it_was_given(bridge: Guarded) -> None:
    bridge.allow(namespaces={"shop": ["order::*"]})
    client = await bridge.client()
    await client.say("registerfunction", id="f")
    assert await client.is_served()
    assert not bridge.offers("f")
    answer = await client.call("engine::workers::register", {"namespace": "bank"})
    assert answer["error"] == {
        "code": "FORBIDDEN",
        "message": "namespace 'bank' not allowed for this session (permitted: shop)",
    }
    answer = await client.call("order::new", namespace="shop")
    assert answer["error"]["code"] == "function_not_found"


async def test_what_a_session_registered_goes_with_it(bridge: Guarded) -> None:
    bridge.allow(function_registration_prefix="acme")
    client = await bridge.client()
    await client.say("registerfunction", id="f")
    assert await client.is_served()
    assert bridge.offers("acme::f")
    await client.connection.close()
    await bridge.trusted.departure_of(client.id)
    assert not bridge.offers("acme::f")
