"""Attempts and the time between them (spec 02 §4; design: retries and time)."""

from itertools import pairwise
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from tests.support.handlers import Failing, Gate, never_answer, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, ended, events
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    fast = {"backoff_ms": 1}
    return {
        "none": {"max_retries": 0, **fast},
        "one": {"max_retries": 1, **fast},
        "three": {"max_retries": 3, **fast},
        "many": {"max_retries": 50, "backoff_type": "fixed", **fast},
        "exponential": {"max_retries": 4, "backoff_ms": 40},
        "capped": {"max_retries": 4, "backoff_ms": 40, "max_backoff_ms": 50},
        "linear": {"max_retries": 4, "backoff_ms": 40, "backoff_type": "linear"},
        "fixed": {"max_retries": 4, "backoff_ms": 40, "backoff_type": "fixed"},
        "picky": {"max_retries": 5, "non_retryable_errors": ["card_declined"], **fast},
        "impatient": {"max_retries": 2, "timeout_ms": 150, **fast},
        "group": {"type": "fifo", "message_group_field": "g", "max_retries": 4, "backoff_ms": 40},
    }


@pytest.mark.parametrize(("queue", "attempts"), [("none", 1), ("one", 1), ("three", 3)])
async def test_a_failing_function_gets_as_many_attempts_as_configured(
    bridge: RunningBridge, queue: str, attempts: int
) -> None:
    worker = await bridge.connect()
    failing = Failing()
    await worker.offer(fails=failing)
    receipt = await worker.enqueue("fails", {}, queue)

    description = await ended(bridge.chain(receipt))
    assert description.status is WorkflowExecutionStatus.FAILED
    assert failing.attempts == list(range(1, attempts + 1))
    assert {call.durable["max_attempts"] for call in failing.calls} == {attempts}
    with pytest.raises(WorkflowFailureError) as failure:
        await bridge.chain(receipt).result()
    assert "fails lost: boom" in str(failure.value.cause)


@pytest.mark.parametrize(
    ("queue", "at_least_ms"),
    [
        ("exponential", [40, 80, 160]),
        ("capped", [40, 50, 50]),
        ("linear", [40, 80, 120]),
        ("fixed", [40, 40, 40]),
        ("group", [40, 80, 160]),
    ],
)
async def test_attempts_keep_the_distance_of_the_schedule(
    bridge: RunningBridge, queue: str, at_least_ms: list[int]
) -> None:
    worker = await bridge.connect()
    await worker.offer(fails=Failing())
    receipt = await worker.enqueue("fails", {"g": 1}, queue)

    await bridge.dead_letters(queue)
    attempts = await recorded_attempts(bridge, queue, receipt)
    assert [each["number"] for each in attempts] == [1, 2, 3, 4]
    gaps = [later["failed_at_ms"] - earlier["failed_at_ms"] for earlier, later in pairwise(attempts)]
    assert all(gap >= least for gap, least in zip(gaps, at_least_ms, strict=True)), gaps


async def test_the_schedule_is_the_retry_policy_of_the_activity(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(works=succeed)
    receipt = await worker.enqueue("works", {}, "exponential")
    await ended(bridge.chain(receipt))

    (scheduled,) = [
        event.activity_task_scheduled_event_attributes
        for event in await events(bridge.chain(receipt))
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert scheduled.task_queue.name == f"{bridge.prefix}.q.exponential"
    assert scheduled.retry_policy.maximum_attempts == 4
    assert scheduled.retry_policy.initial_interval.ToMilliseconds() == 40
    assert scheduled.retry_policy.backoff_coefficient == 2
    assert scheduled.retry_policy.maximum_interval.ToMilliseconds() == 3_600_000


async def test_an_error_that_is_not_worth_a_retry_dead_letters_at_once(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    declined = Failing(code="card_declined", text="no money")
    await worker.offer(charge=declined)
    receipt = await worker.enqueue("charge", {}, "picky")

    (letter,) = await bridge.dead_letters("picky")
    assert (letter["id"], letter["error"], letter["retries"]) == (receipt, "no money", 1)
    assert declined.attempts == [1]


async def test_a_handler_that_does_not_answer_in_time_uses_up_attempts(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(hangs=never_answer)
    receipt = await worker.enqueue("hangs", {}, "impatient")

    (letter,) = await bridge.dead_letters("impatient")
    assert letter["error"] == "No answer within 150 ms"
    attempts = await recorded_attempts(bridge, "impatient", receipt)
    assert [(each["number"], each["code"]) for each in attempts] == [(1, "TIMEOUT"), (2, "TIMEOUT")]


async def test_a_worker_that_vanishes_costs_one_attempt(bridge: RunningBridge) -> None:
    stable, vanishing = await bridge.connect(), await bridge.connect()
    gate, retried = Gate(), Failing(times=0)
    await vanishing.offer(job=gate)
    receipt = await stable.enqueue("job", {}, "three")
    await eventually(lambda: gate.begun)
    await stable.offer(job=retried)
    vanishing.drop()

    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert retried.attempts == [2]


async def test_a_bridge_that_stops_during_a_delivery_does_not_cost_an_attempt(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    leaving = await start_bridge(queues, drain_timeout_ms=100)
    worker = await leaving.connect()
    gate = Gate()
    await worker.offer(job=gate)
    receipt = await worker.enqueue("job", {}, "one")
    await eventually(lambda: gate.begun)
    await leaving.stop()

    staying = await start_bridge(queues)
    again = Failing(times=0)
    await (await staying.connect()).offer(job=again)
    assert (await ended(staying.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert again.attempts == [1]


async def test_a_bridge_that_stops_lets_a_running_handler_finish(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    bridge = await start_bridge(queues, drain_timeout_ms=20_000)
    worker = await bridge.connect()
    gate = Gate()
    await worker.offer(job=gate)
    receipt = await worker.enqueue("job", {}, "one")
    await eventually(lambda: gate.begun)
    bridge.bridge.stop()
    gate.open()
    await bridge.stop()

    completed = [
        event
        for event in await events(bridge.chain(receipt))
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    ]
    assert len(completed) == 1


async def test_a_long_story_of_failures_is_kept_short(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing = Failing(text="x" * 300_000)
    await worker.offer(fails=failing)
    receipt = await worker.enqueue("fails", {}, "many")

    (letter,) = await bridge.dead_letters("many")
    assert letter["retries"] == 50
    assert len(letter["error"]) == 500
    attempts = await recorded_attempts(bridge, "many", receipt)
    assert [each["number"] for each in attempts] == list(range(31, 51))


async def test_a_result_too_large_for_temporal_is_still_a_success(bridge: RunningBridge) -> None:
    worker = await bridge.connect()

    async def talks(_: Any) -> str:
        return "x" * 3_000_000

    await worker.offer(talks=talks)
    receipt = await worker.enqueue("talks", {}, "three")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert len(worker.delivered) == 1


async def recorded_attempts(bridge: RunningBridge, queue: str, receipt: str) -> list[dict[str, Any]]:
    """Read what a dead letter has of its attempts."""
    (started, *_) = await events(bridge.dead_letter(queue, receipt))
    payloads = started.workflow_execution_started_event_attributes.input.payloads
    (letter,) = await bridge.client.data_converter.decode(payloads[:1])
    attempts: list[dict[str, Any]] = letter["attempts"]
    return attempts
