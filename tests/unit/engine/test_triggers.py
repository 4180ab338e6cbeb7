"""Trigger types of workers, and bindings to them (spec 01 §5)."""

import json

import pytest

from bridge.engine import triggers
from bridge.engine.triggers import Binding, TriggerType
from bridge.errors import TriggerRejectedError
from tests.unit.engine.peers import Bridge, Peer

BOUND = {"type": "registertrigger", "id": "b", "trigger_type": "my::type", "function_id": "f"}
UNBOUND = {"type": "unregistertrigger", "id": "b", "trigger_type": "my::type"}


class BuiltIn:
    """A provider inside the bridge."""

    def __init__(self, refusal: str | None = None) -> None:
        self.events: list[tuple[str, str]] = []
        self.refusal = refusal

    def bind(self, binding: Binding) -> None:
        if self.refusal:
            raise TriggerRejectedError(self.refusal)
        self.events.append(("bind", binding.id))

    def unbind(self, binding: Binding) -> None:
        self.events.append(("unbind", binding.id))


@pytest.fixture
def provider(bridge: Bridge) -> Peer:
    return bridge.connect_greeted()


@pytest.fixture
def owner(bridge: Bridge) -> Peer:
    return bridge.connect_greeted()


def provide(peer: Peer, **fields: str) -> None:
    peer.say("registertriggertype", id="my::type", description="d", **fields)


def bind(peer: Peer, **fields: object) -> None:
    peer.say("registertrigger", **{"id": "b", "trigger_type": "my::type", "function_id": "f"} | fields)


def test_the_provider_is_handed_the_binding_and_the_owner_hears_nothing(provider, owner):
    provide(provider)
    bind(owner, config={"a": 1}, metadata={"m": 1})

    assert provider.take() == [BOUND | {"config": {"a": 1}, "metadata": {"m": 1}}]
    assert owner.take() == []


def test_a_binding_without_config_has_a_null_one(provider, owner):
    provide(provider)
    bind(owner)

    assert provider.take() == [BOUND | {"config": None}]


def test_a_binding_waits_for_its_type(provider, owner, bridge):
    bind(owner)
    assert owner.take() == []
    assert list(bridge.engine.triggers.bindings) == []
    provide(provider)

    assert provider.take() == [BOUND | {"config": None}]


def test_a_provider_that_comes_back_gets_its_bindings_again(provider, owner, bridge):
    provide(provider)
    bind(owner)
    provider.leave()
    assert list(bridge.engine.triggers.bindings) == []
    again = bridge.connect_greeted()
    provide(again)

    assert again.take() == [BOUND | {"config": None}]
    assert owner.take() == []


def test_a_provider_that_registers_again_gets_its_bindings_again(provider, owner):
    provide(provider)
    bind(owner)
    provider.take()
    provide(provider)

    assert provider.take() == [BOUND | {"config": None}]


def test_a_newer_provider_takes_over_and_gives_back_when_it_leaves(provider, owner, bridge):
    provide(provider)
    bind(owner)
    provider.take()
    newer = bridge.connect_greeted()
    provide(newer)
    assert provider.take() == [UNBOUND]
    assert newer.take() == [BOUND | {"config": None}]
    newer.leave()

    assert provider.take() == [BOUND | {"config": None}]


def test_a_provider_behind_the_newest_leaves_unnoticed(provider, owner, bridge):
    provide(provider)
    newer = bridge.connect_greeted()
    provide(newer)
    bind(owner)
    newer.take()
    provider.leave()

    assert newer.take() == []
    assert len(list(bridge.engine.triggers.bindings)) == 1


@pytest.mark.parametrize(
    "end", [lambda peer: peer.leave(), lambda peer: peer.say("unregistertrigger", id="b")]
)
def test_the_provider_is_told_when_a_binding_ends(provider, owner, end):
    provide(provider)
    bind(owner)
    provider.take()
    end(owner)

    assert provider.take() == [UNBOUND]


def test_a_binding_that_waited_is_gone_with_its_owner(provider, owner):
    bind(owner)
    owner.leave()
    provide(provider)

    assert provider.take() == []


def test_a_replayed_binding_belongs_to_the_new_connection(provider, owner, bridge):
    provide(provider)
    bind(owner)
    again = bridge.connect_greeted()
    bind(again)
    provider.take()
    owner.leave()

    assert provider.take() == []
    assert bridge.engine.triggers.find("b").owner is again.worker


def test_a_type_that_is_unregistered_parks_its_bindings(provider, owner, bridge):
    provide(provider)
    bind(owner)
    provider.take()
    provider.say("unregistertriggertype", id="my::type")
    assert list(bridge.engine.triggers.bindings) == []
    assert provider.take() == []
    provide(provider)

    assert provider.take() == [BOUND | {"config": None}]


def test_only_its_provider_unregisters_a_type(provider, owner, bridge):
    provide(provider)
    owner.say("unregistertriggertype", id="my::type")

    assert bridge.engine.triggers.find_type("my::type")


def test_an_owner_hears_that_its_provider_refused(provider, owner, bridge):
    provide(provider)
    bind(owner)
    error = {"code": "trigger_registration_failed", "message": "nope"}
    provider.say("triggerregistrationresult", id="b", trigger_type="my::type", function_id="f", error=error)

    assert owner.take() == [
        {
            "type": "triggerregistrationresult",
            "id": "b",
            "trigger_type": "my::type",
            "function_id": "f",
            "error": error,
        }
    ]
    assert list(bridge.engine.triggers.bindings) == []
    provider.take()
    provide(provider)
    assert provider.take() == [BOUND | {"config": None}]


def test_acceptance_is_not_passed_on(provider, owner, bridge):
    provide(provider)
    bind(owner)
    provider.say("triggerregistrationresult", id="b", trigger_type="my::type", function_id="f")

    assert owner.take() == []
    assert len(list(bridge.engine.triggers.bindings)) == 1


def test_nobody_but_the_provider_can_refuse(provider, owner, bridge):
    provide(provider)
    bind(owner)
    stranger = bridge.connect_greeted()
    error = {"code": "c", "message": "m"}
    stranger.say("triggerregistrationresult", id="b", trigger_type="my::type", function_id="f", error=error)

    assert owner.take() == []
    assert len(list(bridge.engine.triggers.bindings)) == 1


def test_a_worker_may_bind_to_its_own_type(provider):
    provide(provider)
    bind(provider)

    assert provider.take() == [BOUND | {"config": None}]


def test_a_built_in_type_refuses_at_once_and_the_binding_does_not_exist(bridge, owner):
    bridge.engine.add_trigger_type(TriggerType("my::type", "d", BuiltIn("expression is required")))
    bind(owner)

    assert owner.take_one("triggerregistrationresult")["error"] == {
        "code": "trigger_registration_failed",
        "message": "expression is required",
    }
    assert bridge.engine.triggers.find("b") is None


def test_a_built_in_type_that_comes_late_tells_the_owner_what_it_refuses(bridge, owner):
    bind(owner)
    bridge.engine.add_trigger_type(TriggerType("my::type", "d", BuiltIn("expression is required")))

    assert owner.take_one("triggerregistrationresult")["error"]["message"] == "expression is required"
    assert list(bridge.engine.triggers.bindings) == []


def test_binding_the_same_id_again_replaces_the_binding(bridge, owner):
    built_in = BuiltIn()
    bridge.engine.add_trigger_type(TriggerType("my::type", "d", built_in))
    bind(owner)
    bind(owner, config={"new": True})

    assert built_in.events == [("bind", "b"), ("unbind", "b"), ("bind", "b")]
    (binding,) = bridge.engine.triggers.bindings
    assert json.loads(bytes(binding.config)) == {"new": True}


def test_a_worker_can_cover_a_built_in_type_while_it_stays(bridge, provider, owner):
    built_in = BuiltIn()
    bridge.engine.add_trigger_type(TriggerType("my::type", "d", built_in))
    bind(owner)
    provide(provider)
    assert built_in.events == [("bind", "b"), ("unbind", "b")]
    provider.leave()

    assert built_in.events[2:] == [("bind", "b")]


@pytest.mark.parametrize("field", ["namespace", "trigger_namespace"])
def test_a_blank_namespace_is_refused_by_name(owner, field):
    bind(owner, **{field: " "})

    error = owner.take_one("triggerregistrationresult")["error"]
    assert error["code"] == "INVALID_NAMESPACE"
    assert field in error["message"]


def test_a_type_in_a_blank_namespace_is_ignored(bridge, provider):
    provide(provider, namespace="")

    assert list(bridge.engine.triggers.types) == []


async def test_a_type_is_looked_up_in_the_owners_namespace_then_in_default(namespaced):
    near, far, owner = (namespaced.connect_greeted() for _ in range(3))
    await far.introduce()
    await near.introduce(namespace="orders")
    await owner.introduce(namespace="orders")
    provide(far)
    bind(owner, namespace="orders")
    assert far.take() == [BOUND | {"config": None, "namespace": "orders"}]
    provide(near)
    assert far.take() == [UNBOUND]
    assert near.take() == [BOUND | {"config": None, "namespace": "orders", "trigger_namespace": "orders"}]
    near.leave()

    assert far.take() == [BOUND | {"config": None, "namespace": "orders"}]


async def test_a_named_type_namespace_is_strict(namespaced):
    far, owner = namespaced.connect_greeted(), namespaced.connect_greeted()
    await far.introduce()
    await owner.introduce()
    provide(far)
    bind(owner, trigger_namespace="orders")
    assert far.take() == []
    provide(far, namespace="orders")
    assert far.take_one("registertrigger")["id"] == "b"
    far.say("unregistertriggertype", id="my::type", namespace="orders")

    assert list(namespaced.engine.triggers.bindings) == []


async def test_a_firing_runs_the_function_with_the_bindings_metadata(bridge, owner):
    built_in = BuiltIn()
    bridge.engine.add_trigger_type(TriggerType("my::type", "d", built_in))
    owner.say("registerfunction", id="f")
    bind(owner, metadata={"m": 1})
    (binding,) = bridge.engine.triggers.bindings

    async def fire() -> None:
        await bridge.engine.fire(binding, binding.config)

    bridge.spawn(fire(), "fire")
    await bridge.settle()

    asked = owner.take_one("invokefunction")
    assert (asked["data"], asked["metadata"]) == (None, {"m": 1})


@pytest.mark.parametrize(
    ("answer", "fires"),
    [
        ({"result": False}, False),
        ({"result": True}, True),
        ({}, True),
        ({"result": 0}, True),
        ({"result": {"ok": False}}, True),
        ({"error": {"code": "c", "message": "m"}}, False),
    ],
)
async def test_only_false_or_a_failure_of_the_condition_skips_the_function(bridge, owner, answer, fires):
    bridge.engine.add_trigger_type(TriggerType("my::type", "d", BuiltIn()))
    owner.say("registerfunction", id="f")
    owner.say("registerfunction", id="condition")
    bind(owner)
    (binding,) = bridge.engine.triggers.bindings

    async def fire() -> None:
        await bridge.engine.fire(binding, binding.config, condition_function_id="condition")

    bridge.spawn(fire(), "fire")
    await bridge.settle()
    asked = owner.take_one("invokefunction")
    owner.say("invocationresult", invocation_id=asked["invocation_id"], function_id="condition", **answer)
    await bridge.settle()

    assert asked["function_id"] == "condition"
    assert [each["function_id"] for each in owner.take("invokefunction")] == (["f"] if fires else [])


def test_a_type_of_a_worker_has_no_more_bindings_than_it_can_be_given_at_once(
    bridge, owner, provider, monkeypatch
):
    monkeypatch.setattr(triggers, "MOST_BINDINGS", 2)
    for number in range(3):
        bind(owner, id=f"parked {number}")
    refusal = owner.take_one("triggerregistrationresult")
    assert (refusal["id"], refusal["error"]["code"]) == ("parked 2", "trigger_registration_failed")

    bind(owner, id="parked 1")  # again
    bridge.engine.add_trigger_type(TriggerType("ours", "d", BuiltIn(), owner_name="iii-test"))
    for number in range(3):
        bind(owner, id=f"ours {number}", trigger_type="ours")
    assert owner.take() == []
    provide(provider)
    assert [each["id"] for each in provider.take("registertrigger")] == ["parked 0", "parked 1"]
