"""`observe.v1`: Python is asked which handler makes a call, and told that there are no observers."""

import pytest
from structlog.testing import capture_logs

from bridge.engine.calls import Call, Job
from bridge.protocol import payload

PYTHON = "Python/3.11 websockets/15.0.1"
TRACE = f"00-{'1' * 32}-{{}}-01"


def test_python_is_asked_to_name_its_handlers(bridge):
    greeting = bridge.connect(PYTHON).take_one("workerregistered")

    assert greeting["features"] == ["observe.v1"]


@pytest.mark.parametrize("user_agent", [None, "", "node", "tungstenite (Python/3)"])
def test_other_sdks_are_not_told_that_observers_are_served(bridge, user_agent):
    greeting = bridge.connect(user_agent).take_one("workerregistered")

    assert "features" not in greeting


def test_of_two_jobs_of_one_trace_a_call_belongs_to_the_one_it_names(bridge):
    outer, inner = bridge.connect_greeted(), bridge.connect_greeted()
    outer.say("registerfunction", id="outer")
    inner.say("registerfunction", id="inner")
    jobs = [Job("c1", "c1", "w1", "r1"), Job("c2", "c2", "w2", "r2")]
    for span, job in zip("ab", jobs, strict=True):
        trace = TRACE.format(span * 16)
        bridge.engine.start(Call("outer", payload.NULL, job=job, traceparent=trace), lambda _: None)
    asked = outer.take("invokefunction")
    for each in reversed(asked):
        caller = {"function_id": "outer", "invocation_id": each["invocation_id"], "parent": {"x": 1}}
        outer.say("invokefunction", function_id="inner", caller=caller, traceparent=TRACE.format("c" * 16))

    assert [each.job for each in inner.worker.executing.values()] == jobs[::-1]


@pytest.mark.parametrize("caller", [None, {}, {"function_id": "outer"}, {"invocation_id": None}])
def test_a_caller_without_an_invocation_says_nothing(bridge, caller):
    outer, inner = bridge.connect_greeted(), bridge.connect_greeted()
    outer.say("registerfunction", id="outer")
    inner.say("registerfunction", id="inner")
    job = Job("c1", "c1", "w1", "r1")
    bridge.engine.start(Call("outer", payload.NULL, job=job), lambda _: None)
    outer.say("invokefunction", function_id="inner", caller=caller)

    (nested,) = inner.worker.executing.values()
    assert nested.job is job


def test_an_observer_is_refused(bridge):
    peer = bridge.connect_greeted()
    peer.say("observe", id="o1", source={"function_id": "f"}, target={"function_id": "g"})

    (answer,) = peer.take()
    assert (answer["type"], answer["id"], answer["state"]) == ("observeresult", "o1", "error")
    assert answer["error"]["code"] == "UNSUPPORTED"


@pytest.mark.parametrize("kind", ["unobserve", "observerack", "invocationsobserved", "localinvocationstats"])
def test_the_rest_of_the_family_is_passed_over_in_silence(bridge, kind):
    peer = bridge.connect_greeted()
    with capture_logs() as logs:
        peer.say(kind, id="o1", items=[{"anything": 1}])

    assert peer.take() == []
    assert logs == []


def test_a_registration_is_not_confirmed_because_the_sdk_would_then_keep_calls_to_itself(bridge):
    peer = bridge.connect(PYTHON)
    peer.take()
    peer.say("registerfunction", id="f")

    assert peer.take() == []
    assert bridge.engine.has_provider("f")


def test_hooks_that_will_never_run_are_logged(bridge):
    peer = bridge.connect_greeted()
    with capture_logs() as logs:
        peer.say("registerfunction", id="f", observe={"delivery": "owner"})

    assert bridge.engine.has_provider("f")
    assert [each["function_id"] for each in logs if each["log_level"] == "warning"] == ["f"]
