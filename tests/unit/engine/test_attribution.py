"""Which job a nested call belongs to, by what each SDK brings back of it (spec 01 §4.7)."""

import pytest

from bridge.engine.attribution import attribute
from bridge.engine.calls import Call, Invocation, Job
from bridge.engine.tracing import BAGGAGE_KEY
from bridge.protocol import payload
from tests.unit.engine.peers import uuid

FIRST, SECOND, THIRD = uuid(1), uuid(2), uuid(3)
JOB, OTHER = Job("c1", "c1", "w1", "r1"), Job("c2", "c2", "w2", "r2")
SPAN = "b" * 16
FIRST_TRACE, SECOND_TRACE = f"00-{'1' * 32}-{SPAN}-01", f"00-{'2' * 32}-{SPAN}-01"
NEW_SPAN = f"00-{'1' * 32}-{'c' * 16}-01"


def executing(*entries: tuple[str, str, Job | None]) -> dict[str, Invocation]:
    return {
        each_id: Invocation(each_id, "f", traceparent, job, lambda _: None)
        for each_id, traceparent, job in entries
    }


ONE = executing((FIRST, FIRST_TRACE, JOB))
TWO = executing((FIRST, FIRST_TRACE, JOB), (SECOND, SECOND_TRACE, OTHER))
ONE_AND_A_PLAIN_CALL = executing((FIRST, FIRST_TRACE, JOB), (SECOND, SECOND_TRACE, None))
ONE_TRACE = executing((FIRST, FIRST_TRACE, JOB), (SECOND, FIRST_TRACE[:-19] + "d" * 16 + "-01", OTHER))
TWICE_THE_SAME_JOB = executing((FIRST, FIRST_TRACE, JOB), (SECOND, SECOND_TRACE, JOB))
OURS = f"tenant=7,{BAGGAGE_KEY}="


@pytest.mark.parametrize(
    ("running", "baggage", "traceparent", "job"),
    [
        pytest.param(TWO, OURS + FIRST, NEW_SPAN, JOB, id="Node and Rust: baggage names the invocation"),
        pytest.param(TWO, OURS + SECOND, FIRST_TRACE, OTHER, id="baggage wins over the trace"),
        pytest.param(TWO, OURS + THIRD, FIRST_TRACE, None, id="baggage of a finished invocation"),
        pytest.param(ONE, OURS + THIRD, None, None, id="baggage of a finished invocation, one running"),
        pytest.param(TWO, None, FIRST_TRACE, JOB, id="Python, OTel off: the very trace context"),
        pytest.param(TWO, None, NEW_SPAN, JOB, id="Python, OTel on: the trace with a new span"),
        pytest.param(TWO, "tenant=7", NEW_SPAN, JOB, id="baggage of others does not count"),
        pytest.param(ONE_TRACE, None, FIRST_TRACE, JOB, id="one trace twice: the span decides"),
        pytest.param(ONE_TRACE, None, NEW_SPAN, None, id="one trace twice and a new span: in doubt, none"),
        pytest.param(ONE, None, SECOND_TRACE, None, id="a trace nobody here was given"),
        pytest.param(ONE, None, "nonsense", None, id="no trace context at all"),
        pytest.param(ONE, None, None, JOB, id="old Python, Node with OTel off: the only job"),
        pytest.param(TWO, None, None, None, id="old Python with two jobs: in doubt, none"),
        pytest.param(ONE_AND_A_PLAIN_CALL, None, None, None, id="a job and a plain call: in doubt, none"),
        pytest.param(ONE_AND_A_PLAIN_CALL, None, SECOND_TRACE, None, id="the plain call"),
        pytest.param(TWICE_THE_SAME_JOB, None, None, JOB, id="two invocations of one job"),
        pytest.param({}, None, FIRST_TRACE, None, id="nothing running"),
        pytest.param({}, OURS + FIRST, None, None, id="nothing running, old baggage"),
        pytest.param({}, None, None, None, id="nothing at all"),
    ],
)
def test_a_call_is_attributed(running, baggage, traceparent, job):
    assert attribute(running, baggage=baggage, traceparent=traceparent) is job


@pytest.mark.parametrize(
    ("running", "invocation_id", "job"),
    [
        pytest.param(TWO, SECOND, OTHER, id="the invocation it names"),
        pytest.param(ONE_AND_A_PLAIN_CALL, SECOND, None, id="a plain call"),
        pytest.param(TWO, THIRD, None, id="a finished invocation"),
        pytest.param(ONE, THIRD, None, id="a finished invocation, one running"),
    ],
)
def test_what_the_worker_says_wins_over_every_trace(running, invocation_id, job):
    found = attribute(running, invocation_id=invocation_id, baggage=OURS + FIRST, traceparent=FIRST_TRACE)

    assert found is job


def test_steps_of_one_chain_in_doubt_belong_to_the_chain_without_a_step():
    running = executing(
        (FIRST, FIRST_TRACE, Job("c1", "c1", "w1", "r1")), (SECOND, SECOND_TRACE, Job("c1", "c1", "w1", "r2"))
    )

    assert (found := attribute(running, baggage=None, traceparent=None)) is not None
    assert (found.chain_id, found.home, found.workflow_id, found.receipt) == ("c1", "c1", "w1", None)


async def test_a_nested_call_carries_the_job_on(bridge):
    outer, inner = bridge.connect_greeted(), bridge.connect_greeted()
    outer.say("registerfunction", id="outer")
    inner.say("registerfunction", id="inner")
    bridge.engine.start(Call("outer", payload.NULL, job=JOB), lambda _: None)
    asked = outer.take_one("invokefunction")
    outer.say("invokefunction", function_id="inner", baggage=asked["baggage"])

    (nested,) = inner.worker.executing.values()
    assert nested.job is JOB
