"""What each SDK can take (spec 01 §1.5): too large is an error of one call, never a broken connection."""

import pytest

from tests.unit.engine.peers import uuid

CALL = uuid(7)
MIB = 1024 * 1024

OLD_PYTHON = {"runtime": "python", "version": "0.22.1"}
LARGE = [
    {"runtime": "python", "version": "0.24.5"},
    {"runtime": "python", "version": "0.25.0+local"},
    {"runtime": "python", "version": "0.24.0", "features": ["large-messages.v1"]},
    {"runtime": "node", "version": "0.9.0"},
    {"runtime": "rust", "version": "0.23.0"},
]
SMALL = [OLD_PYTHON, {"runtime": "python", "version": "0.24.4"}, {"runtime": "python", "version": None}, {}]


@pytest.fixture
async def caller(namespaced):
    peer = namespaced.connect_greeted()
    await peer.introduce()
    return peer


@pytest.mark.parametrize("about", SMALL)
async def test_a_call_too_large_for_the_sdk_fails_and_the_worker_stays(namespaced, caller, about):
    worker = namespaced.connect_greeted()
    await worker.introduce(**{"runtime": None, "version": None} | about)
    worker.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f", invocation_id=CALL, data="x" * MIB)
    caller.say("invokefunction", function_id="f", data="small")

    error = caller.take_one("invocationresult")["error"]
    assert error["code"] == "payload_too_large"
    assert "channel" in error["message"]
    assert [each["data"] for each in worker.take("invokefunction")] == ["small"]
    assert len(worker.worker.executing) == 1


@pytest.mark.parametrize("about", LARGE)
async def test_sdks_that_can_take_it_get_it(namespaced, caller, about):
    worker = namespaced.connect_greeted()
    await worker.introduce(**about)
    worker.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f", data="x" * 2 * MIB)

    assert worker.take_one("invokefunction")


@pytest.mark.parametrize("part", ["metadata", "baggage"])
async def test_every_part_of_a_call_counts(namespaced, caller, part):
    worker = namespaced.connect_greeted()
    await worker.introduce(**OLD_PYTHON)
    worker.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f", invocation_id=CALL, **{part: "x" * MIB})

    assert caller.take_one("invocationresult")["error"]["code"] == "payload_too_large"
    assert worker.take() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"result": "x" * MIB},
        {"error": {"code": "c", "message": "x" * MIB}},
        {"error": {"code": "c", "message": "m", "stacktrace": "x" * MIB}},
    ],
)
async def test_an_answer_too_large_for_the_caller_becomes_an_error(namespaced, caller, answer):
    old = namespaced.connect_greeted()
    await old.introduce(**OLD_PYTHON)
    caller.say("registerfunction", id="f")
    old.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = caller.take_one("invokefunction")
    caller.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", **answer)

    assert old.take_one("invocationresult")["error"]["code"] == "payload_too_large"


async def test_a_binding_too_large_for_its_provider_is_refused(namespaced, caller):
    old = namespaced.connect_greeted()
    await old.introduce(**OLD_PYTHON)
    old.say("registertriggertype", id="t", description="d")
    caller.say("registertrigger", id="b", trigger_type="t", function_id="f", config="x" * MIB)

    assert caller.take_one("triggerregistrationresult")["error"]["code"] == "payload_too_large"
    assert old.take() == []


async def test_a_refusal_too_large_for_the_owner_of_a_binding_is_shortened(namespaced, caller):
    old = namespaced.connect_greeted()
    await old.introduce(**OLD_PYTHON)
    caller.say("registertriggertype", id="t", description="d")
    old.say("registertrigger", id="b", trigger_type="t", function_id="f", config={})
    error = {"code": "c", "message": "x" * MIB}
    caller.say("triggerregistrationresult", id="b", trigger_type="t", function_id="f", error=error)

    told = old.take_one("triggerregistrationresult")["error"]
    assert told["code"] == "c"
    assert "takes at most" in told["message"]
