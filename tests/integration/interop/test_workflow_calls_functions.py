"""Workflows of other people call functions as activities (docs/interop.md)."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
)
from temporalio.exceptions import (
    TimeoutError as ActivityTimeoutError,
)

from tests.integration.interop.foreign import CallsFunction, FunctionCall
from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Failing, Gate
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration

Begin = Callable[..., Awaitable[WorkflowHandle[Any, Any]]]


@pytest.fixture
def queues() -> dict[str, Any]:
    return {"jobs": {"max_retries": 2, "backoff_ms": 50}}


@pytest.fixture
def begin(temporal: Client, foreign_queue: str, prefix: str) -> Begin:
    """Start a workflow that calls a function of the bridge."""

    async def start(function_id: str, *arguments: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        call = FunctionCall(prefix, function_id, list(arguments), **options)
        return await temporal.start_workflow(
            CallsFunction.run, call, id=f"foreign-{uuid.uuid4()}", task_queue=foreign_queue
        )

    return start


async def failure(handle: WorkflowHandle[Any, Any]) -> BaseException:
    """Return why the activity of a workflow failed."""
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ActivityError)
    assert caught.value.cause.cause is not None
    return caught.value.cause.cause


async def error(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    cause = await failure(handle)
    assert isinstance(cause, ApplicationError)
    return cause


async def test_a_workflow_gets_the_answer_of_the_function_named_by_its_activity(
    bridge: RunningBridge, begin: Begin
) -> None:
    worker = await bridge.connect()

    async def double(call: Delivered) -> dict[str, Any]:
        return {"twice": call.data["n"] * 2}

    await worker.offer(math__double=double)
    handle = await begin("math::double", {"n": 21})
    assert await handle.result() == {"twice": 42}


async def test_the_handler_is_told_which_workflow_calls_it(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()
    failing = Failing(times=1)
    await worker.offer(f=failing)
    handle = await begin("f", {}, attempts=2)
    await handle.result()
    first, second = (call.durable for call in failing.calls)
    assert first == {
        "workflow_id": handle.id,
        "run_id": handle.first_execution_run_id,
        "workflow_type": "CallsFunction",
        "namespace": "default",
        "task_queue": bridge.prefix,
        "activity_id": first["activity_id"],
        "attempt": 1,
        "idempotency_key": f"{handle.first_execution_run_id}/{first['activity_id']}",
    }
    assert second == first | {"attempt": 2}
    traces = {(call.traceparent or "").split("-")[1] for call in failing.calls}
    assert traces == {uuid.UUID(handle.first_execution_run_id).hex}


async def test_a_call_without_arguments_has_no_payload_and_one_without_answer_returns_none(
    bridge: RunningBridge, begin: Begin
) -> None:
    worker = await bridge.connect()

    async def nothing(_: Delivered) -> None:
        return None

    await worker.offer(nothing=nothing)
    assert await (await begin("nothing")).result() is None
    assert [call.data for call in worker.delivered] == [None]


async def test_the_error_of_a_function_is_typed_by_its_code(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()
    await worker.offer(charge=Failing(code="CARD_DECLINED", text="not today"))
    failed = await error(await begin("charge", {}))
    assert (failed.type, failed.message) == ("CARD_DECLINED", "not today")
    assert failed.details == ("Traceback: in the handler",)
    assert not failed.non_retryable


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [(({}, {}), {}, "2 arguments"), ((), {"with_bytes": True}, "binary/plain")],
    ids=["two", "bytes"],
)
async def test_what_is_no_payload_is_refused_for_good(
    bridge: RunningBridge, begin: Begin, arguments: tuple[Any, ...], options: dict[str, Any], told: str
) -> None:
    worker = await bridge.connect()
    await worker.offer(f=Failing(times=0))
    refused = await error(await begin("f", *arguments, attempts=0, **options))
    assert (refused.type, refused.non_retryable) == ("invalid_arguments", True)
    assert told in refused.message
    assert worker.delivered == []


async def test_a_workflow_waits_for_a_worker_that_offers_the_function(
    bridge: RunningBridge, begin: Begin
) -> None:
    worker = await bridge.connect()
    handle = await begin("late", {}, attempts=0)

    async def is_tried_again() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any(
            each.last_failure.application_failure_info.type == "function_not_found" for each in pending
        )

    await eventually(is_tried_again)

    async def late(_: Delivered) -> str:
        return "here"

    await worker.offer(late=late)
    assert await handle.result() == "here"


async def test_a_worker_that_leaves_costs_an_attempt_and_the_next_worker_gets_the_call(
    bridge: RunningBridge, begin: Begin
) -> None:
    first = await bridge.connect()
    gate = Gate()
    await first.offer(f=gate)
    handle = await begin("f", {}, attempts=0)
    await bridge.eventually_handled(gate.begun, 1)
    second = await bridge.connect()

    async def answer(call: Delivered) -> int:
        return int(call.durable["attempt"])

    first.drop()
    await second.offer(f=answer)
    assert await handle.result() > 1


async def test_heartbeats_keep_a_long_call_alive(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()
    gate = Gate()
    await worker.offer(f=gate)
    handle = await begin("f", {}, heartbeat_s=1)
    await bridge.eventually_handled(gate.begun, 1)
    seen: set[int] = set()

    async def has_beaten_again() -> bool:
        (pending,) = (await handle.describe()).raw_description.pending_activities
        seen.add(pending.last_heartbeat_time.ToNanoseconds())
        return len(seen) > 3

    await eventually(has_beaten_again)
    gate.open()
    assert await handle.result() == "done"
    assert len(gate.begun) == 1


async def test_a_cancelled_workflow_waits_for_no_handler(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()
    gate = Gate()
    await worker.offer(f=gate)
    handle = await begin("f", {}, start_to_close_s=60, heartbeat_s=1)
    await bridge.eventually_handled(gate.begun, 1)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    gate.open()  # an answer that comes too late harms nobody
    await worker.settled()
    assert await worker.trigger("f", {}) == "done"


async def test_a_call_that_takes_too_long_times_out_in_temporal(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()
    await worker.offer(f=Gate())
    assert isinstance(await failure(await begin("f", {}, start_to_close_s=0.5)), ActivityTimeoutError)


async def test_a_bridge_that_stops_hands_the_call_to_another(start_bridge: StartBridge, begin: Begin) -> None:
    first = await start_bridge()
    gate = Gate()
    worker = await first.connect()
    await worker.offer(f=gate)
    handle = await begin("f", {}, attempts=0)
    await first.eventually_handled(gate.begun, 1)
    second = await start_bridge()
    elsewhere = await second.connect()

    async def answer(_: Delivered) -> str:
        return "elsewhere"

    await elsewhere.offer(f=answer)
    await first.stop()
    assert await handle.result() == "elsewhere"


async def test_an_enqueue_of_the_handler_begins_a_chain(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()

    async def place(call: Delivered) -> str:
        return await call.enqueue("pack", {}, "jobs")

    async def pack(_: Delivered) -> None: ...

    await worker.offer(place=place, pack=pack)
    receipt = await (await begin("place", {})).result()
    await ended(bridge.chain(receipt))


async def test_functions_that_no_pattern_names_are_out_of_reach(
    start_bridge: StartBridge, begin: Begin
) -> None:
    bridge = await start_bridge(function_activities={"functions": ["math::*"]})
    worker = await bridge.connect()
    await worker.offer(secret=Failing(times=0))
    refused = await error(await begin("secret", {}, attempts=0))
    assert refused.type == "FORBIDDEN"
    assert refused.non_retryable
    assert "function_activities.functions" in refused.message


async def test_functions_are_looked_up_in_the_configured_namespace(
    start_bridge: StartBridge, begin: Begin
) -> None:
    bridge = await start_bridge(function_activities={"namespace": "shop"})
    worker = await bridge.connect("shop")

    async def answer(_: Delivered) -> str:
        return "shop"

    await worker.offer(f=answer)
    assert await (await begin("f", {})).result() == "shop"


async def test_calls_that_fill_the_bridge_hold_up_no_chain(start_bridge: StartBridge, begin: Begin) -> None:
    bridge = await start_bridge(
        {"jobs": {}, "lines": {"type": "fifo", "message_group_field": "g"}},
        function_activities={"concurrency": 1},
        pace=Pace(turn_check_ms=200),
    )
    worker = await bridge.connect()
    gate = Gate()

    async def job(call: Delivered) -> None:
        if call.data["n"] == 0:
            await call.enqueue("job", {"g": "a", "n": 1}, "lines")

    await worker.offer(f=gate, job=job)
    calls = [await begin("f", {"n": n}) for n in range(3)]
    await bridge.eventually_handled(gate.begun, 1)
    receipt = await worker.enqueue("job", {"n": 0}, "jobs")
    await ended(bridge.chain(receipt))  # the second step had an activity of ours join its lane
    assert len(gate.begun) == 1
    gate.open()
    for handle in calls:
        await handle.result()


@pytest.mark.usefixtures("bridge")
async def test_a_workflow_calls_a_function_of_the_bridge_itself(begin: Begin) -> None:
    assert await (await begin("engine::functions::list", {})).result()


async def test_an_error_without_a_code_is_an_invocation_failed(bridge: RunningBridge, begin: Begin) -> None:
    worker = await bridge.connect()

    async def fail(_: Delivered) -> None:
        raise CallFailed("", "no code")

    await worker.offer(f=fail)
    assert (await error(await begin("f", {}))).type == "invocation_failed"
