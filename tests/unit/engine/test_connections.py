"""Workers come, come back and go (spec 01 §3.4, §3.7)."""

import asyncio

import pytest

from bridge.engine.calls import Call
from bridge.protocol import payload
from tests.unit.engine.peers import Bridge, uuid

CALL = uuid(7)


def test_everything_of_a_worker_leaves_with_it(bridge: Bridge):
    events = []
    bridge.engine.on_worker_event.append(lambda event, worker: events.append((event, worker.id)))
    provider, caller = bridge.connect_greeted(), bridge.connect_greeted()
    provider.say("registertriggertype", id="t", description="d")
    provider.say("registerfunction", id="f")
    provider.say("registertrigger", id="b", trigger_type="t", function_id="f")
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    provider.leave()

    assert caller.take_one("invocationresult")["error"]["code"] == "invocation_stopped"
    assert not bridge.engine.has_provider("f")
    assert bridge.engine.triggers.find("b") is None
    assert list(bridge.engine.triggers.types) == []
    assert events == [
        ("worker_connected", provider.id),
        ("worker_connected", caller.id),
        ("worker_disconnected", provider.id),
    ]


def test_leaving_twice_is_leaving_once(bridge):
    events = []
    worker = bridge.connect_greeted()
    bridge.engine.on_worker_event.append(lambda event, _: events.append(event))
    worker.leave()
    worker.leave()

    assert events == ["worker_disconnected"]


def test_a_returning_worker_evicts_its_old_connection_before_anything_else(bridge):
    caller, old = bridge.connect_greeted(), bridge.connect_greeted()
    old.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    new = bridge.connect_greeted()
    new.say("reattach", previous_worker_id=old.id, reattach_token=old.worker.reattach_token)

    assert old.was_aborted
    assert caller.take_one("invocationresult")["error"]["code"] == "invocation_stopped"
    assert not bridge.engine.has_provider("f")
    assert set(bridge.engine.workers) == {caller.id, new.id}


def test_what_an_evicted_connection_still_says_has_no_effect(bridge):
    old = bridge.connect_greeted()
    new = bridge.connect_greeted()
    new.say("reattach", previous_worker_id=old.id, reattach_token=old.worker.reattach_token)
    old.say("registerfunction", id="ghost")
    old.say("registertrigger", id="b", trigger_type="t", function_id="ghost")
    old.say("ping")

    assert not bridge.engine.has_provider("ghost")
    assert bridge.engine.triggers.find("b") is None
    assert old.take() == []


@pytest.mark.parametrize("token", [{}, {"reattach_token": None}, {"reattach_token": "wrong"}])
def test_nobody_is_evicted_without_the_token(bridge, token):
    old, new = bridge.connect_greeted(), bridge.connect_greeted()
    new.say("reattach", previous_worker_id=old.id, **token)

    assert not old.was_aborted
    assert old.id in bridge.engine.workers


def test_a_worker_cannot_evict_itself(bridge):
    worker = bridge.connect_greeted()
    worker.say("reattach", previous_worker_id=worker.id, reattach_token=worker.worker.reattach_token)

    assert not worker.was_aborted


def test_a_late_answer_on_the_next_connection_is_ignored(bridge):
    caller, old = bridge.connect_greeted(), bridge.connect_greeted()
    old.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = old.take_one("invokefunction")
    old.leave()
    caller.take()
    new = bridge.connect_greeted()
    new.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result="late")

    assert caller.take() == []


def test_listeners_hear_what_workers_begin_to_offer(bridge):
    offered = []
    bridge.engine.on_function_offered.append(offered.append)
    worker = bridge.connect_greeted()
    worker.say("registerfunction", id="f")

    assert offered == ["f"]


async def test_a_cancelled_call_of_the_bridge_leaves_nothing_behind(bridge):
    worker = bridge.connect_greeted()
    worker.say("registerfunction", id="f")
    waiting = asyncio.get_running_loop().create_task(bridge.engine.invoke(Call("f", payload.NULL)))
    await bridge.settle()
    assert worker.worker.executing
    waiting.cancel()
    await bridge.settle()

    assert worker.worker.executing == {}
    asked = worker.take_one("invokefunction")
    worker.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)
