"""Frames that are not understood, and frames that mean little (spec 01 §1.5, §1.7)."""

import pytest

from tests.unit.engine.peers import Bridge, uuid

CALL = uuid(7)


@pytest.mark.parametrize("frame", ["", "  \n", "not json", "[]", '{"type":"unheardof"}', b"\xff\xfe", b""])
def test_a_frame_that_means_nothing_is_dropped_and_the_next_one_served(bridge, frame):
    peer = bridge.connect_greeted()
    peer.say_text(frame)
    peer.say("ping")

    assert peer.take() == [{"type": "pong"}]


def test_a_binary_frame_is_a_frame_like_any_other(bridge):
    peer = bridge.connect_greeted()
    peer.say_text(b'{"type":"ping"}')

    assert peer.take() == [{"type": "pong"}]


def test_a_broken_call_is_answered_if_it_has_an_id(bridge):
    peer = bridge.connect_greeted()
    peer.say("invokefunction", function_id="f", invocation_id=CALL, action={"type": "unheardof"})

    answer = peer.take_one("invocationresult")
    assert (answer["invocation_id"], answer["error"]["code"]) == (CALL, "deserialization_error")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("pong", {}),
        ("registerservice", {"id": "svc", "name": "svc"}),
        ("workerregistered", {"worker_id": "w"}),
        ("registrationrejected", {"code": "c", "namespace": "default", "owner_worker_id": ""}),
        ("registertriggertype", {"id": "without a description"}),
        ("unregistertrigger", {"id": "ghost"}),
        ("unregistertriggertype", {"id": "ghost"}),
        ("unregisterfunction", {"id": "ghost"}),
        ("invocationresult", {"invocation_id": CALL, "function_id": "f", "result": 1}),
        ("triggerregistrationresult", {"id": "ghost", "trigger_type": "t", "function_id": "f"}),
        ("reattach", {"previous_worker_id": "ghost", "reattach_token": "t"}),
        ("reattach", {"previous_worker_id": ""}),
    ],
)
def test_what_needs_no_answer_gets_none(bridge: Bridge, kind, fields):
    peer = bridge.connect_greeted()
    peer.say(kind, **fields)

    assert peer.take() == []


def test_an_http_invoked_function_is_not_called_over_the_socket(bridge):
    peer = bridge.connect_greeted()
    peer.say("registerfunction", id="f", invocation={"url": "https://example.com"})
    peer.say("invokefunction", function_id="f")

    assert peer.take("invokefunction") == []
