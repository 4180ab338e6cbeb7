"""Calls between workers (spec 01 §4)."""

import json
import tracemalloc

import msgspec
import pytest

from bridge.engine.calls import Call, Outcome
from bridge.errors import EnqueueError, FunctionFailedError
from bridge.protocol import payload
from tests.unit.engine.peers import Bridge, Peer, uuid

CALL = uuid(7)


@pytest.fixture
def caller(bridge: Bridge) -> Peer:
    return bridge.connect_greeted()


@pytest.fixture
def provider(bridge: Bridge) -> Peer:
    peer = bridge.connect_greeted()
    peer.say("registerfunction", id="f")
    return peer


def test_a_worker_is_greeted_first(bridge):
    peer = bridge.connect()

    assert peer.heard == [
        {"type": "workerregistered", "worker_id": peer.id, "reattach_token": peer.worker.reattach_token}
    ]


def test_a_call_reaches_the_function_and_its_result_the_caller(caller, provider):
    caller.say("invokefunction", function_id="f", invocation_id=CALL, data=[1, {"b": 2}])
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result={"ok": 1})

    assert (asked["function_id"], asked["data"]) == ("f", [1, {"b": 2}])
    assert caller.take() == [
        {"type": "invocationresult", "invocation_id": CALL, "function_id": "f", "result": {"ok": 1}}
    ]


def test_the_error_of_a_handler_reaches_the_caller_with_its_stack(caller, provider):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = provider.take_one("invokefunction")
    error = {"code": "invocation_failed", "message": "boom", "stacktrace": "at line 1"}
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", error=error)

    assert caller.take_one("invocationresult")["error"] == error


def test_an_error_wins_over_a_result(caller, provider):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = provider.take_one("invokefunction")
    error = {"code": "c", "message": "m"}
    provider.say(
        "invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1, error=error
    )

    answer = caller.take_one("invocationresult")
    assert answer["error"] == error
    assert "result" not in answer


@pytest.mark.parametrize("result", [{}, {"result": None}])
def test_no_result_and_a_null_result_are_both_answered_without_one(caller, provider, result):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", **result)

    assert caller.take() == [{"type": "invocationresult", "invocation_id": CALL, "function_id": "f"}]


def test_results_may_come_in_any_order(caller, provider):
    for number in (1, 2):
        caller.say("invokefunction", function_id="f", invocation_id=uuid(number), data=number)
    first, second = provider.take("invokefunction")
    for asked in (second, first):
        provider.say(
            "invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=asked["data"]
        )

    answers = caller.take()
    assert [(each["invocation_id"], each["result"]) for each in answers] == [(uuid(2), 2), (uuid(1), 1)]


def test_two_calls_under_one_id_are_two_calls(caller, provider):
    for number in (1, 2):
        caller.say("invokefunction", function_id="f", invocation_id=CALL, data=number)
    for asked in provider.take("invokefunction"):
        result = {"invocation_id": asked["invocation_id"], "function_id": "f", "result": asked["data"]}
        provider.say("invocationresult", **result)

    assert [each["result"] for each in caller.take("invocationresult")] == [1, 2]


def test_an_answer_counts_once_and_only_from_the_worker_that_was_asked(caller, provider, bridge):
    stranger = bridge.connect_greeted()
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = provider.take_one("invokefunction")
    for peer, result in ((stranger, "forged"), (provider, "real"), (provider, "again")):
        peer.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=result)

    assert [each["result"] for each in caller.take()] == ["real"]


def test_a_void_call_is_run_with_an_id_and_never_answered(caller, provider):
    caller.say("invokefunction", function_id="f", invocation_id=CALL, action={"type": "void"})
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)

    assert asked["invocation_id"]
    assert asked["invocation_id"] != CALL
    assert "action" not in asked
    assert caller.take() == []


def test_a_void_call_of_nothing_is_not_answered(caller):
    caller.say("invokefunction", function_id="ghost", invocation_id=CALL, action={"type": "void"})

    assert caller.take() == []


def test_a_call_without_id_is_run_and_never_answered(caller, provider):
    caller.say("invokefunction", function_id="f", data=1)
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)

    assert caller.take() == []


def test_an_unknown_function_is_not_found_in_its_namespace(caller):
    caller.say("invokefunction", function_id="ghost", invocation_id=CALL)

    error = caller.take_one("invocationresult")["error"]
    assert error["code"] == "function_not_found"
    assert error["message"].startswith("Function ghost not found in namespace default.")


def test_a_worker_may_call_itself(provider):
    provider.say("invokefunction", function_id="f", invocation_id=CALL, data=1)
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=2)

    assert provider.take_one("invocationresult")["result"] == 2


@pytest.mark.parametrize("action", [{}, {"action": {"type": "void"}}, {"action": None}])
def test_an_object_payload_names_the_calling_worker(caller, provider, action):
    caller.say("invokefunction", function_id="f", data={"a": 1, "_caller_worker_id": "forged"}, **action)

    assert provider.take_one("invokefunction")["data"] == {"a": 1, "_caller_worker_id": caller.id}


@pytest.mark.parametrize("data", [None, 1, "text", [{}]])
def test_any_other_payload_stays_as_it_is(caller, provider, data):
    caller.say("invokefunction", function_id="f", data=data)

    assert provider.take_one("invokefunction")["data"] == data


def test_a_call_in_progress_does_not_keep_its_payload(caller, provider):
    tracemalloc.start()
    try:
        caller.say("invokefunction", function_id="f", invocation_id=CALL, data="x" * 1_000_000)
        provider.take()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(provider.worker.executing) == 1
    assert kept < 100_000


def test_an_empty_id_is_an_id(caller, provider):
    provider.say("registerfunction", id="")
    caller.say("invokefunction", function_id="", data=1)

    assert provider.take_one("invokefunction")["data"] == 1


def test_the_metadata_sidecar_reaches_the_function(caller, provider):
    caller.say("invokefunction", function_id="f", metadata={"tenant": 7})

    assert provider.take_one("invokefunction")["metadata"] == {"tenant": 7}


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}])
def test_no_metadata_is_no_metadata(caller, provider, metadata):
    caller.say("invokefunction", function_id="f", **metadata)

    assert "metadata" not in provider.take_one("invokefunction")


def test_the_trace_context_is_passed_on_and_echoed(caller, provider):
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "baggage": "tenant=7"}
    caller.say("invokefunction", function_id="f", invocation_id=CALL, **trace)
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f")

    answer = caller.take_one("invocationresult")
    assert asked["traceparent"] == trace["traceparent"]
    assert asked["baggage"].split(",")[:-1] == ["tenant=7", "iii.function.id=f"]
    assert {name: answer[name] for name in trace} == trace


def test_an_invalid_trace_context_is_replaced(caller, provider):
    caller.say("invokefunction", function_id="f", traceparent="nonsense")

    assert provider.take_one("invokefunction")["traceparent"].startswith("00-")


@pytest.mark.parametrize("namespace", ["", "  "])
def test_a_blank_namespace_is_refused(caller, provider, namespace):
    caller.say("invokefunction", function_id="f", invocation_id=CALL, namespace=namespace)
    caller.say("invokefunction", function_id="f", namespace=namespace)

    assert caller.take_one("invocationresult")["error"]["code"] == "INVALID_NAMESPACE"
    assert provider.take() == []


def test_calls_take_turns_among_the_replicas(bridge, caller):
    replicas = [bridge.connect_greeted() for _ in range(3)]
    for replica in replicas:
        replica.say("registerfunction", id="f")
    for _ in range(9):
        caller.say("invokefunction", function_id="f")

    assert [len(replica.take("invokefunction")) for replica in replicas] == [3, 3, 3]


def test_a_replica_that_leaves_takes_only_its_own_calls_with_it(bridge, caller):
    leaving, staying = bridge.connect_greeted(), bridge.connect_greeted()
    for replica in (leaving, staying):
        replica.say("registerfunction", id="f")
    for number in (1, 2):
        caller.say("invokefunction", function_id="f", invocation_id=uuid(number))
    leaving.leave()

    error = caller.take_one("invocationresult")["error"]
    assert error == {"code": "invocation_stopped", "message": "Invocation stopped"}
    asked = staying.take_one("invokefunction")
    staying.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result="ok")
    assert caller.take_one("invocationresult")["result"] == "ok"
    caller.say("invokefunction", function_id="f")
    assert staying.take_one("invokefunction")


def test_the_answer_to_a_caller_that_left_is_dropped(caller, provider):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = provider.take_one("invokefunction")
    caller.leave()
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)

    assert caller.take() == []


def test_unregistering_does_not_cancel_what_runs(caller, provider):
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    asked = provider.take_one("invokefunction")
    provider.say("unregisterfunction", id="f")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=1)
    caller.say("invokefunction", function_id="f", invocation_id=uuid(8))

    first, second = caller.take("invocationresult")
    assert first["result"] == 1
    assert second["error"]["code"] == "function_not_found"


@pytest.mark.usefixtures("provider")
def test_a_function_is_unregistered_by_its_owner_only(bridge, caller):
    caller.say("unregisterfunction", id="f")

    assert bridge.engine.has_provider("f")


def test_registering_again_replaces_the_schema(bridge, provider):
    provider.say("registerfunction", id="f", description="new")

    function = bridge.engine.functions.find("f")
    assert function is not None
    assert function.schema.description == "new"
    assert len(bridge.engine.functions.offers_of("f")) == 1


class Queue:
    def __init__(self, error: EnqueueError | None = None) -> None:
        self.accepted: list[tuple[Call, str]] = []
        self._error = error

    async def enqueue(self, call: Call, queue: str) -> str:
        if self._error:
            raise self._error
        self.accepted.append((call, queue))
        return uuid(42)


async def test_an_enqueued_call_is_answered_with_its_receipt(bridge, caller, provider):
    bridge.engine.enqueuer = queue = Queue()

    answer = await caller.call("f", {"n": 1}, action={"type": "enqueue", "queue": "q"})

    assert answer["result"] == {"messageReceiptId": uuid(42)}
    ((call, queue_name),) = queue.accepted
    assert (call.function_id, json.loads(bytes(call.data)), queue_name) == ("f", {"n": 1}, "q")
    assert provider.take() == []


async def test_an_enqueue_without_id_is_not_answered(bridge, caller):
    bridge.engine.enqueuer = queue = Queue()
    caller.say("invokefunction", function_id="f", action={"type": "enqueue", "queue": "q"})
    await bridge.settle()

    assert len(queue.accepted) == 1
    assert caller.take() == []


async def test_a_refused_enqueue_is_an_error_without_receipt(bridge, caller):
    bridge.engine.enqueuer = Queue(EnqueueError("Queue 'q' not found"))

    answer = await caller.call("f", action={"type": "enqueue", "queue": "q"})

    assert answer["error"] == {"code": "enqueue_error", "message": "Queue 'q' not found"}


async def test_without_queues_an_enqueue_is_an_error(caller):
    answer = await caller.call("f", action={"type": "enqueue", "queue": "q"})

    assert answer["error"]["code"] == "enqueue_error"


async def test_a_builtin_function_is_called_like_any_other(bridge, caller):
    async def double(call: Call) -> msgspec.Raw:
        return payload.encode(json.loads(bytes(call.data))["n"] * 2)

    bridge.engine.add_builtin("math::double", double, owner_name="iii-math")

    assert (await caller.call("math::double", {"n": 4}))["result"] == 8


async def test_a_builtin_function_can_answer_null(bridge, caller):
    async def nothing(_: Call) -> msgspec.Raw:
        return payload.NULL

    bridge.engine.add_builtin("nothing", nothing, owner_name="iii-math")

    answer = await caller.call("nothing")
    assert "result" in answer
    assert answer["result"] is None


async def test_a_broken_builtin_function_fails_its_call_only(bridge, caller):
    async def broken(_: Call) -> msgspec.Raw:
        raise ZeroDivisionError("secret detail")

    bridge.engine.add_builtin("broken", broken, owner_name="iii-math")
    answer = await caller.call("broken")

    assert answer["error"]["code"] == "internal_error"
    assert "secret" not in answer["error"]["message"]


async def test_the_bridge_itself_can_call_a_worker(bridge, provider):
    outcomes: list[Outcome] = []

    async def ask() -> None:
        outcomes.append(await bridge.engine.invoke(Call("f", payload.encode({"a": 1}))))

    bridge.spawn(ask(), "ask")
    await bridge.settle()
    asked = provider.take_one("invokefunction")
    provider.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f", result=5)
    await bridge.settle()

    assert asked["data"] == {"a": 1}
    assert outcomes == [Outcome(msgspec.Raw(b"5"))]


async def test_unwrapping_a_failure_raises_it(bridge):
    outcome = await bridge.engine.invoke(Call("ghost", payload.NULL))

    with pytest.raises(FunctionFailedError) as failure:
        outcome.unwrap()
    assert failure.value.failure_code == "function_not_found"
