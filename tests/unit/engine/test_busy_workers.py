"""A worker for which too much waits already gets no more calls; it is not dropped."""

import pytest

from bridge.engine.calls import Call, Job
from bridge.protocol.payload import NULL
from tests.unit.engine.peers import uuid

CALL = uuid(7)


@pytest.fixture
def caller(bridge):
    return bridge.connect_greeted()


@pytest.fixture
def busy(bridge):
    peer = bridge.connect_greeted()
    peer.end_grace()
    peer.say("registerfunction", id="f")
    peer.has_room = False
    return peer


def test_a_call_of_a_busy_worker_is_refused_and_says_what_to_do(caller, busy):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)

    error = caller.take_one("invocationresult")["error"]
    assert error["code"] == "too_many_calls"
    assert f"Worker {busy.id}" in error["message"]
    assert "worker_outbox" in error["message"]
    assert busy.take("invokefunction") == []
    assert busy.worker.executing == {}
    assert not busy.was_aborted


def test_a_busy_worker_is_called_again_once_it_has_room(caller, busy):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    busy.has_room = True
    caller.say("invokefunction", function_id="f", invocation_id=CALL)

    assert busy.take_one("invokefunction")


def test_replicas_that_have_room_take_the_calls_of_a_busy_one(bridge, caller, busy):
    idle = bridge.connect_greeted()
    idle.end_grace()
    idle.say("registerfunction", id="f")
    for _ in range(4):
        caller.say("invokefunction", function_id="f", invocation_id=CALL)

    assert len(idle.take("invokefunction")) == 4
    assert busy.take("invokefunction") == []
    assert caller.take("invocationresult") == []


def test_an_attempt_of_a_message_is_not_used_up_by_a_refusal(bridge, busy):
    job = Job(chain_id=uuid(1), home="", workflow_id="w", receipt=uuid(2))
    bridge.engine.start(Call("f", NULL, job=job), lambda _: None)

    assert busy.take_one("invokefunction")


def test_what_a_handler_calls_while_it_handles_a_message_is_refused_like_any_other_call(bridge, caller, busy):
    outcomes = []
    job = Job(chain_id=uuid(1), home="", workflow_id="w", receipt=uuid(2))
    bridge.engine.start(Call("f", NULL, job=job, caller=caller.worker), outcomes.append)

    assert [each.error.code for each in outcomes] == ["too_many_calls"]
    assert busy.take("invokefunction") == []


def test_a_trigger_of_a_busy_worker_is_refused_and_its_owner_told(caller, busy):
    caller.end_grace()
    busy.say("registertriggertype", id="t", description="d")
    caller.say("registertrigger", id="b", trigger_type="t", function_id="g", config={})

    assert caller.take_one("triggerregistrationresult")["error"]["code"] == "too_many_calls"
    assert busy.take("registertrigger") == []
