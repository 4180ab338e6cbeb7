"""One connection cannot fill the bridge with registrations."""

from types import ModuleType

import pytest

from bridge.engine import registrations, session
from tests.unit.engine.peers import Bridge, Peer

LIMITED: tuple[ModuleType, ...] = (registrations, session)


@pytest.fixture
def peer(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> Peer:
    for module in LIMITED:
        monkeypatch.setattr(module, "MOST_REGISTRATIONS", 3)
        monkeypatch.setattr(module, "MOST_BYTES", 1000)
    return bridge.connect_greeted()


def bind(peer: Peer, trigger_id: str, **fields: object) -> None:
    peer.say("registertrigger", id=trigger_id, trigger_type="t", function_id="f", **fields)


def test_a_trigger_beyond_the_limit_is_refused_with_a_remedy(peer: Peer) -> None:
    for number in range(4):
        bind(peer, f"b{number}", config={})

    refusal = peer.take_one("triggerregistrationresult")
    assert (refusal["id"], refusal["error"]["code"]) == ("b3", "trigger_registration_failed")
    assert "may register 3 functions, triggers and trigger types" in refusal["error"]["message"]


def test_what_is_unregistered_makes_room(bridge: Bridge, peer: Peer) -> None:
    peer.say("registerfunction", id="f1")
    peer.say("registertriggertype", id="t1", description="d")
    bind(peer, "b1")
    for kind, item_id in (("function", "f1"), ("triggertype", "t1"), ("trigger", "b1")):
        peer.say("registerfunction", id=f"instead of {kind}")
        assert f"instead of {kind}" not in bridge.engine.functions
        peer.say(f"unregister{kind}", id=item_id)
        peer.say("registerfunction", id=f"instead of {kind}")
        assert f"instead of {kind}" in bridge.engine.functions


def test_the_same_again_counts_once(bridge: Bridge, peer: Peer) -> None:
    for _ in range(5):
        peer.say("registerfunction", id="f1", metadata="x" * 900)
        bind(peer, "b1")
    peer.say("registerfunction", id="f2")

    assert "f2" in bridge.engine.functions
    assert peer.take() == []


def test_large_registrations_fill_the_room_as_well(bridge: Bridge, peer: Peer) -> None:
    peer.say("registerfunction", id="f1", request_format="x" * 900)
    peer.say("registerfunction", id="f2", metadata="x" * 200)
    peer.say("registertriggertype", id="t", description="x" * 200)
    bind(peer, "b1", config="x" * 200)

    assert "f2" not in bridge.engine.functions
    assert bridge.engine.triggers.find_type("t") is None
    assert peer.take_one("triggerregistrationresult")["error"]["code"] == "trigger_registration_failed"


def test_refused_registrations_take_no_room(bridge: Bridge, peer: Peer) -> None:
    for number in range(5):
        peer.say("registerfunction", id=f"f{number}", metadata="x" * 2000)
        bind(peer, f"b{number}", namespace=" ")
    peer.say("registerfunction", id="small")

    assert "small" in bridge.engine.functions


@pytest.mark.parametrize("padding", [0, 900], ids=["many", "large"])
@pytest.mark.usefixtures("peer")
def test_no_more_is_held_back_for_a_namespace_than_may_be_registered(
    namespaced: Bridge, padding: int
) -> None:
    peer = namespaced.connect_greeted()
    peer.say("registerfunction", id="f0")
    assert "f0" not in namespaced.engine.functions
    for number in range(4):
        peer.say("registerfunction", id=f"f{number}", metadata="x" * padding)

    assert "f0" in namespaced.engine.functions
