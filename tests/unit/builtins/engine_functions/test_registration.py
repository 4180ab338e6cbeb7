"""`engine::workers::register` (spec 01 §3.2, spec 05 §2.1)."""

import pytest

from bridge.engine.calls import Call
from bridge.protocol import payload

REGISTER = "engine::workers::register"
EVERYTHING = {
    "runtime": "python",
    "version": "0.25.0",
    "name": "host:24390",
    "description": "d",
    "os": "Linux 6.1 (x86_64)",
    "pid": 24390,
    "isolation": "docker",
    "namespace": None,
    "telemetry": {"language": "C", "amplitude_api_key": "k"},
    "features": ["observe.v1", "large-messages.v1"],
    "unheardof": 1,
}


async def test_a_worker_tells_what_it_is(bridge):
    worker = bridge.connect_greeted()

    answer = await worker.call(REGISTER, EVERYTHING)

    info = worker.worker.info
    assert answer["result"] == {"success": True}
    assert (info.runtime, info.version, info.name, info.description) == (
        "python",
        "0.25.0",
        "host:24390",
        "d",
    )
    assert (info.os, info.pid, info.isolation) == ("Linux 6.1 (x86_64)", 24390, "docker")
    assert tuple(info.features) == ("observe.v1", "large-messages.v1")


async def test_a_worker_may_tell_nothing(bridge):
    worker = bridge.connect_greeted()

    assert (await worker.call(REGISTER, {}))["result"] == {"success": True}
    assert worker.worker.info.runtime == "unknown"


async def test_what_is_left_out_keeps_its_value_but_the_version_is_overwritten(bridge):
    worker = bridge.connect_greeted()
    await worker.call(REGISTER, EVERYTHING)
    await worker.call(REGISTER, {"runtime": "node", "name": None, "description": "  "})

    info = worker.worker.info
    assert (info.runtime, info.version, info.name, info.description) == ("node", None, "host:24390", "d")
    assert (info.os, info.pid, info.isolation) == ("Linux 6.1 (x86_64)", 24390, "docker")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("  billing\n", "billing"),
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("a\u202eb\u2066c\u2069d", "abcd"),
        ("a\u2028b\u2029c", "abc"),
        ("x" * 1000, "x" * 280),
        ("zahlung-größe-支払い", "zahlung-größe-支払い"),
        ("\u202e\x07 ", None),
    ],
)
async def test_a_name_is_cleaned_of_what_could_deceive_a_reader(bridge, said, kept):
    worker = bridge.connect_greeted()
    await worker.call(REGISTER, {"name": said, "description": said})

    assert (worker.worker.info.name, worker.worker.info.description) == (kept, kept)


@pytest.mark.parametrize("wrong", [{"pid": "1"}, {"pid": -1}, {"pid": 2**32}, {"name": 7}, {"features": "x"}])
async def test_fields_of_another_type_are_refused_and_nothing_is_applied(bridge, wrong):
    worker = bridge.connect_greeted()

    answer = await worker.call(REGISTER, {"version": "0.25.0"} | wrong)

    assert answer["error"]["code"] == "deserialization_error"
    assert REGISTER in answer["error"]["message"]
    assert worker.worker.info.version is None


async def test_only_a_connected_worker_can_register(bridge):
    outcome = await bridge.engine.invoke(Call(REGISTER, payload.encode({})))

    assert outcome.error is not None
    assert outcome.error.code == "deserialization_error"


async def test_a_worker_that_left_while_registering_changes_nothing(bridge):
    worker = bridge.connect_greeted()
    events = []
    worker.say("invokefunction", function_id=REGISTER, data={"name": "n"}, action={"type": "void"})
    worker.leave()
    bridge.engine.on_worker_event.append(lambda event, _: events.append(event))
    await bridge.settle()

    assert events == []
