"""The functions about trigger types and bindings (spec 05 §2.1, §2.2)."""

import pytest

from bridge.builtins.engine_functions import bindings
from tests.unit.engine.peers import Bridge

TYPES, TYPE = "engine::triggers::list", "engine::triggers::info"
BINDINGS, BINDING = "engine::registered-triggers::list", "engine::registered-triggers::info"
REGISTER, UNREGISTER = "engine::register_trigger", "engine::unregister_trigger"


@pytest.fixture
async def provider(bridge):
    peer = bridge.connect_greeted()
    await peer.introduce(name="provider")
    peer.say(
        "registertriggertype",
        id="my::type",
        description="Mine",
        trigger_request_format={"c": 1},
        call_request_format={"r": 1},
    )
    return peer


def bind(peer, **fields):
    peer.say("registertrigger", **{"id": "b", "trigger_type": "my::type", "function_id": "api::f"} | fields)


@pytest.mark.usefixtures("provider")
async def test_types_are_listed_without_schemas(caller):
    rows = (await caller.call(TYPES))["result"]["triggers"]
    everything = (await caller.call(TYPES, {"include_internal": True}))["result"]["triggers"]

    assert rows == [
        {"id": "my::type", "namespace": "default", "worker_name": "provider", "description": "Mine"}
    ]
    assert [row["id"] for row in everything] == [
        "engine::functions-available",
        "engine::workers-available",
        "my::type",
    ]


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"search": "MINE"}, 1),
        ({"search": "type"}, 1),
        ({"search": "nothing"}, 0),
        ({"prefix": "my::"}, 1),
        ({"prefix": "type"}, 0),
        ({"worker": "provider"}, 1),
        ({"worker": "caller"}, 0),
    ],
)
async def test_types_are_filtered(caller, asked, found):
    assert len((await caller.call(TYPES, asked))["result"]["triggers"]) == found


@pytest.mark.usefixtures("provider")
async def test_a_type_is_described_with_its_schemas(caller):
    bind(caller)

    assert (await caller.call(TYPE, {"id": "my::type"}))["result"] == {
        "id": "my::type",
        "namespace": "default",
        "worker_name": "provider",
        "description": "Mine",
        "configuration_schema": {"c": 1},
        "request_schema": {"r": 1},
        "instance_count": 1,
    }


async def test_an_unknown_type_is_not_found(caller):
    error = (await caller.call(TYPE, {"id": "x"}))["error"]

    assert error["code"] == "NOT_FOUND"
    assert error["message"] == "Trigger type 'x' is not registered in namespace 'default'."


@pytest.mark.usefixtures("provider")
async def test_bindings_in_force_are_listed_with_a_short_config(caller):
    caller.say("registerfunction", id="api::f")
    bind(caller, config={"text": "x" * 200})
    bind(caller, id="a", function_id="ghost::f", config={"a": [1, 2]})
    bind(caller, id="waiting", trigger_type="nobody::provides")
    bind(caller, id="internal", function_id="engine::mine")

    short, long = (await caller.call(BINDINGS))["result"]["registered_triggers"]

    assert short == {
        "id": "a",
        "trigger_type": "my::type",
        "function_id": "ghost::f",
        "worker_name": "ghost",
        "config": {"a": [1, 2]},
        "config_summary": '{"a":[1,2]}',
    }
    assert (long["id"], long["worker_name"]) == ("b", "caller")
    assert long["config_summary"] == '{"text":"' + "x" * 71 + "…"


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"include_internal": True}, ["b", "z"]),
        ({"search": "API"}, ["b"]),
        ({"trigger_type": "my::type"}, ["b"]),
        ({"trigger_type": "other"}, []),
        ({"function_id": "api::f"}, ["b"]),
        ({"worker": "api"}, ["b"]),
        ({"worker": "caller"}, []),
    ],
)
async def test_bindings_are_filtered(caller, asked, ids):
    bind(caller)
    bind(caller, id="z", function_id="engine::mine")

    rows = (await caller.call(BINDINGS, asked))["result"]["registered_triggers"]
    assert [row["id"] for row in rows] == ids


async def test_a_binding_is_described_with_its_type_and_function(caller, provider):
    caller.say("registerfunction", id="api::f")
    bind(caller, config={"a": 1}, metadata={"m": 1})

    detail = (await caller.call(BINDING, {"id": "b"}))["result"]
    assert (detail["config"], detail["metadata"]) == ({"a": 1}, {"m": 1})
    assert detail["trigger"]["id"] == "my::type"
    assert detail["function"]["function_id"] == "api::f"
    provider.leave()
    caller.say("unregisterfunction", id="api::f")
    dangling = (await caller.call(BINDING, {"id": "b"}))["result"]
    assert (dangling["trigger"], dangling["function"]) == (None, None)


async def test_an_unknown_binding_is_not_found(caller):
    error = (await caller.call(BINDING, {"id": "x"}))["error"]

    assert error == {"code": "NOT_FOUND", "message": "Registered trigger 'x' was not found."}


@pytest.mark.usefixtures("provider")
async def test_an_old_sdk_lists_bindings_under_the_name_that_means_types_today(bridge):
    old = bridge.connect_greeted()
    await old.introduce(version="0.11.6")
    bind(old, config={"a": 1}, metadata={"m": 1})
    bind(old, id="i", function_id="engine::mine")

    (row,) = (await old.call(TYPES))["result"]["triggers"]
    assert row == {
        "id": "b",
        "trigger_type": "my::type",
        "function_id": "api::f",
        "config": {"a": 1},
        "metadata": {"m": 1},
    }
    assert len((await old.call(TYPES, {"include_internal": True}))["result"]["triggers"]) == 2


@pytest.mark.usefixtures("provider")
async def test_types_are_listed_under_the_name_of_old(caller):
    rows = (await caller.call("engine::trigger-types::list"))["result"]["trigger_types"]

    assert rows == [
        {
            "id": "my::type",
            "description": "Mine",
            "trigger_request_format": {"c": 1},
            "call_request_format": {"r": 1},
        }
    ]


async def test_an_ownerless_binding_outlives_its_maker(bridge, caller, provider):
    caller.say(
        "invokefunction",
        function_id=REGISTER,
        invocation_id=bridge.new_id(),
        data={"trigger_type": "my::type", "function_id": "f", "config": {"a": 1}, "metadata": {"m": 1}},
    )
    await bridge.settle()
    bound = provider.take_one("registertrigger")
    provider.say("triggerregistrationresult", id=bound["id"], trigger_type="my::type", function_id="f")
    await bridge.settle()

    assert caller.take_one("invocationresult")["result"] == {"id": bound["id"]}
    assert (bound["config"], bound["metadata"]) == ({"a": 1}, {"m": 1})
    caller.leave()
    assert [each.id for each in bridge.engine.triggers.bindings] == [bound["id"]]


async def test_an_ownerless_binding_that_is_refused_does_not_exist(bridge, caller, provider):
    data = {"trigger_type": "my::type", "function_id": "f"}
    caller.say("invokefunction", function_id=REGISTER, invocation_id=bridge.new_id(), data=data)
    await bridge.settle()
    bound = provider.take_one("registertrigger")
    error = {"code": "bad", "message": "nope"}
    provider.say(
        "triggerregistrationresult", id=bound["id"], trigger_type="my::type", function_id="f", error=error
    )
    await bridge.settle()

    assert caller.take_one("invocationresult")["error"] == {
        "code": "trigger_registration_failed",
        "message": "bad: nope",
    }
    assert bridge.engine.triggers.find(bound["id"]) is None


@pytest.mark.parametrize(
    "late", [{}, {"error": {"code": "bad", "message": "nope"}}], ids=["accepts", "refuses"]
)
async def test_a_provider_that_does_not_answer_in_time_has_accepted_and_may_still_answer(late):
    bridge = Bridge(has_namespaces=True, answer_timeout_s=0)
    caller, provider = bridge.connect_greeted(), bridge.connect_greeted()
    await provider.introduce()
    provider.say("registertriggertype", id="my::type", description="d")
    made = (await caller.call(REGISTER, {"trigger_type": "my::type", "function_id": "f"}))["result"]["id"]
    provider.take()
    provider.say("triggerregistrationresult", id=made, trigger_type="my::type", function_id="f", **late)
    provider.say("ping")

    assert provider.take() == [{"type": "pong"}]
    assert [each.id for each in bridge.engine.triggers.bindings] == ([] if late else [made])


async def test_bindings_without_an_owner_are_limited(caller, monkeypatch):
    monkeypatch.setattr(bindings, "MOST_BINDINGS", 2)
    made = [await caller.call(REGISTER, {"trigger_type": "t", "function_id": "f"}) for _ in range(3)]
    assert made[2]["error"]["code"] == "trigger_registration_failed"
    assert "engine::unregister_trigger" in made[2]["error"]["message"]

    caller.say("unregistertrigger", id=made[0]["result"]["id"])
    assert "result" in await caller.call(REGISTER, {"trigger_type": "t", "function_id": "f"})
    assert "error" in await caller.call(REGISTER, {"trigger_type": "t", "function_id": "f"})


async def test_an_ownerless_binding_waits_for_its_type_and_is_removed_once(caller, bridge):
    made = await caller.call(REGISTER, {"trigger_type": "late::type", "function_id": "f"})
    binding_id = made["result"]["id"]
    late = bridge.connect_greeted()
    await late.introduce()
    late.say("registertriggertype", id="late::type", description="d")
    assert late.take_one("registertrigger")["id"] == binding_id

    assert (await caller.call(UNREGISTER, {"id": binding_id}))["result"] == {"removed": True}
    assert late.take_one("unregistertrigger")["id"] == binding_id
    assert (await caller.call(UNREGISTER, {"id": binding_id}))["result"] == {"removed": False}


async def test_a_blank_type_namespace_is_refused(caller):
    data = {"trigger_type": "t", "function_id": "f", "trigger_namespace": " "}

    assert (await caller.call(REGISTER, data))["error"]["code"] == "INVALID_NAMESPACE"
