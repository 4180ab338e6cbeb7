"""Observers are told of every call and message, and how it ended; traces go on where callers say nothing."""

import asyncio

import pytest

from bridge.engine.attribution import enclosing_trace
from bridge.engine.calls import Call, Invocation, Outcome
from bridge.engine.observation import (
    CallStart,
    EnqueueStart,
    ObservedEnqueuer,
    Observer,
    OnEnd,
)
from bridge.engine.tracing import BAGGAGE_KEY, continue_trace, trace_id_of
from bridge.errors import EnqueueError
from bridge.protocol import payload
from tests.unit.engine.peers import Bridge

TRACE = "a" * 32
PARENT = f"00-{TRACE}-{'b' * 16}-00"
UUID = "5b0c2d2e-0000-4000-8000-000000000001"


class Recorder(Observer):
    def __init__(self) -> None:
        self.calls: list[CallStart] = []
        self.outcomes: list[Outcome] = []
        self.messages: list[EnqueueStart] = []
        self.ends: list[str | None] = []

    def call_started(self, start: CallStart):
        self.calls.append(start)
        return self.outcomes.append

    def enqueue_started(self, start: EnqueueStart) -> OnEnd:
        self.messages.append(start)
        return lambda error: self.ends.append(error.code if error else None)


class Receipts:
    def __init__(self, error: EnqueueError | None = None) -> None:
        self.error = error
        self.calls: list[Call] = []

    async def enqueue(self, call: Call, _queue: str, **_: int) -> str:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return UUID


@pytest.fixture
def recorder(bridge: Bridge) -> Recorder:
    recorder = Recorder()
    bridge.engine.observers.append(recorder)
    return recorder


def a_call(**fields) -> Call:
    return Call("f", payload.encode({}), **fields)


async def test_an_observer_sees_who_runs_a_call_in_which_trace_and_how_it_ended(bridge, recorder):
    worker = bridge.connect()
    await worker.introduce()
    worker.say("registerfunction", id="f")
    recorder.calls.clear()
    recorder.outcomes.clear()

    outcomes = []
    bridge.engine.start(a_call(), outcomes.append)
    asked = worker.take_one("invokefunction")
    worker.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)

    (start,) = recorder.calls
    assert start.worker is worker.worker
    assert start.traceparent == asked["traceparent"]
    assert recorder.outcomes == outcomes == [Outcome(payload.encode(1))]


async def test_a_call_of_a_function_nobody_offers_ends_too(bridge, recorder):
    await bridge.engine.invoke(a_call())

    assert recorder.calls[0].function is None
    assert recorder.outcomes[0].error.code == "function_not_found"


async def test_a_call_nobody_waits_for_any_more_ends_once(bridge, recorder):
    worker = bridge.connect()
    await worker.introduce()
    worker.say("registerfunction", id="f")
    recorder.outcomes.clear()
    waiting = asyncio.create_task(bridge.engine.invoke(a_call()), name="caller")
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    asked = worker.take_one("invokefunction")
    worker.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)

    assert [outcome.error.code for outcome in recorder.outcomes] == ["cancelled"]


async def test_a_message_gets_a_span_of_its_own_in_the_trace_of_its_enqueuer():
    recorder, receipts = Recorder(), Receipts()

    await ObservedEnqueuer(receipts, [recorder], lambda: UUID).enqueue(a_call(traceparent=PARENT), "q")

    (start,) = recorder.messages
    assert (start.queue, start.parent) == ("q", PARENT)
    assert start.traceparent == receipts.calls[0].traceparent == f"00-{TRACE}-5b0c2d2e00004000-00"
    assert recorder.ends == [None]


async def test_a_refused_message_is_told_as_an_error_and_refused():
    recorder, receipts = Recorder(), Receipts(EnqueueError("no"))

    with pytest.raises(EnqueueError, match="no"):
        await ObservedEnqueuer(receipts, [recorder], lambda: UUID).enqueue(a_call(), "q")

    assert recorder.ends == ["enqueue_error"]


def test_an_invalid_trace_is_not_continued():
    assert trace_id_of(continue_trace("nonsense", UUID)) == UUID.replace("-", "")


def executing(*names: str) -> dict[str, Invocation]:
    return {name: Invocation(name, "f", f"trace of {name}", None, print) for name in names}


@pytest.mark.parametrize(
    ("names", "baggage", "expected"),
    [
        (("one",), None, "trace of one"),
        (("one", "two"), None, None),
        ((), None, None),
        (("one", "two"), f"{BAGGAGE_KEY}=two", "trace of two"),
        (("one",), f"{BAGGAGE_KEY}=ended", None),
    ],
)
def test_a_call_without_a_trace_is_in_that_of_the_only_invocation_it_can_come_from(names, baggage, expected):
    assert enclosing_trace(executing(*names), baggage=baggage) == expected
