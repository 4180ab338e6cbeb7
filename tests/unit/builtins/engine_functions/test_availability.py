"""The trigger types `engine::workers-available` and `engine::functions-available` (spec 05 §3)."""

import pytest

from bridge.builtins.engine_functions.availability import Availability
from bridge.builtins.engine_functions.catalog import Catalog
from tests.unit.engine.peers import Bridge


def listen(peer, kind):
    peer.say("registerfunction", id="on::change")
    peer.say("registertrigger", id="l", trigger_type=kind, function_id="on::change", metadata={"m": 1})


def events(peer):
    return [each["data"] for each in peer.take("invokefunction")]


async def test_workers_that_come_change_and_go_are_told_at_once(bridge, caller):
    listen(caller, "engine::workers-available")
    other = bridge.connect_greeted()
    assert events(caller) == [{"event": "worker_connected", "worker_id": other.id}]
    await other.introduce(name="other")
    assert events(caller) == [{"event": "worker_metadata_updated", "worker_id": other.id}]
    other.leave()

    assert events(caller) == [{"event": "worker_disconnected", "worker_id": other.id}]


async def test_an_event_carries_the_metadata_of_its_trigger(bridge, caller):
    listen(caller, "engine::workers-available")
    bridge.connect()

    assert caller.take_one("invokefunction")["metadata"] == {"m": 1}


async def test_a_removed_trigger_hears_nothing(bridge, caller):
    listen(caller, "engine::workers-available")
    caller.say("unregistertrigger", id="l")
    bridge.connect()

    assert events(caller) == []


async def test_a_listener_does_not_hear_of_its_own_end(caller):
    listen(caller, "engine::workers-available")
    caller.leave()

    assert events(caller) == []


@pytest.fixture
def watched():
    bridge = Bridge()
    availability = Availability(bridge.engine, Catalog(bridge.engine), interval_s=3600)
    availability.register(bridge.engine)
    return bridge, availability


async def test_a_changed_set_of_functions_is_told_once(watched):
    bridge, availability = watched
    listener, other = bridge.connect_greeted(), bridge.connect_greeted()
    listen(listener, "engine::functions-available")
    availability.start()
    for function_id in ("b", "a"):
        other.say("registerfunction", id=function_id)
    availability.look()
    availability.look()
    availability.stop()
    await bridge.settle()

    (event,) = events(listener)
    assert event["event"] == "functions_changed"
    assert [row["function_id"] for row in event["functions"]] == ["a", "b", "on::change"]


async def test_what_was_there_at_the_start_is_no_event(watched):
    bridge, availability = watched
    listener = bridge.connect_greeted()
    listen(listener, "engine::functions-available")
    availability.start()
    availability.look()
    availability.stop()
    await bridge.settle()

    assert events(listener) == []


async def test_a_function_that_came_and_went_between_two_looks_is_no_event(watched):
    bridge, availability = watched
    listener, other = bridge.connect_greeted(), bridge.connect_greeted()
    listen(listener, "engine::functions-available")
    availability.start()
    other.say("registerfunction", id="brief")
    other.say("unregisterfunction", id="brief")
    listener.say("registerfunction", id="on::change", description="only the description changed")
    availability.look()
    availability.stop()
    await bridge.settle()

    assert events(listener) == []


async def test_the_watch_looks_by_itself_and_ends_when_stopped():
    bridge = Bridge()
    availability = Availability(bridge.engine, Catalog(bridge.engine), interval_s=0)
    availability.register(bridge.engine)
    listener = bridge.connect_greeted()
    availability.start()
    listen(listener, "engine::functions-available")
    await bridge.settle()
    assert len(events(listener)) == 1
    availability.stop()
    await bridge.settle()

    listener.say("registerfunction", id="late")
    await bridge.settle()
    assert events(listener) == []
