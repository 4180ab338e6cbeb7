"""What a trigger's `queue_config` does to the copies of its function (spec 02 §4.1, §4.3, §5.2)."""

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.integration.topics.subscriber import Subscriber, queue_of
from tests.support.fake_sdk import Delivered
from tests.support.handlers import Failing, Gate, Recording, never_answer, numbered
from tests.support.running_bridge import RunningBridge, events
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("config", "attempts"), [({}, 3), ({"maxRetries": 3}, 4), ({"maxRetries": 0}, 1)])
async def test_retries_come_after_the_first_attempt(
    bridge: RunningBridge, subscriber: Subscriber, config: dict[str, Any], attempts: int
) -> None:
    failing = Failing()
    await subscriber.sdk.offer(fails=failing)
    await subscriber.subscribe("fails", queue_config={"backoffDelayMs": 1, **config})
    await subscriber.publish({"n": 1})
    (letter,) = await bridge.dead_letters(queue_of("fails"))
    assert (letter["retries"], letter["payload"], letter["error"]) == (attempts, {"n": 1}, "boom")
    assert failing.attempts == list(range(1, attempts + 1))


@pytest.mark.parametrize(("kind", "coefficient"), [("exponential", 2.0), ("fixed", 1.0)])
async def test_the_back_off_is_that_of_the_trigger(
    bridge: RunningBridge, subscriber: Subscriber, kind: str, coefficient: float
) -> None:
    await subscriber.sdk.offer(done=Recording())
    config = {"backoffDelayMs": 4000, "backoffType": kind, "visibilityTimeout": 50}
    await subscriber.subscribe("done", queue_config=config)
    await subscriber.publish({})
    delivery = await delivered(bridge, subscriber)
    assert delivery.retry_policy.initial_interval.seconds == 4
    assert delivery.retry_policy.backoff_coefficient == coefficient
    assert delivery.start_to_close_timeout.seconds == 50 + 10  # and the grace for the bridge's own answer


async def delivered(bridge: RunningBridge, subscriber: Subscriber) -> Any:
    """Return what Temporal was told of the one delivery there was."""
    await eventually(lambda: subscriber.sdk.delivered)
    history = await events(bridge.chain(subscriber.sdk.delivered[0].durable["receipt"]))
    (scheduled,) = [
        event.activity_task_scheduled_event_attributes
        for event in history
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return scheduled


async def test_a_linear_back_off_grows_by_the_same_amount(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    await subscriber.sdk.offer(fails=Failing())
    config = {"backoffDelayMs": 20, "backoffType": "linear", "maxRetries": 2}
    await subscriber.subscribe("fails", queue_config=config)
    await subscriber.publish({})
    await bridge.dead_letters(queue_of("fails"))
    (started, *_) = await events(
        bridge.dead_letter(queue_of("fails"), subscriber.sdk.delivered[0].durable["receipt"])
    )
    payloads = started.workflow_execution_started_event_attributes.input.payloads
    (letter, _) = await bridge.client.data_converter.decode(payloads)
    failed = [attempt["failed_at_ms"] for attempt in letter["attempts"]]
    assert failed[1] - failed[0] >= 20
    assert failed[2] - failed[1] >= 40
    assert letter["message"]["rules"]["backoff_type"] == "linear"


async def test_a_handler_that_does_not_answer_within_the_visibility_timeout_has_failed(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    await subscriber.sdk.offer(hangs=never_answer)
    await subscriber.subscribe("hangs", queue_config={"visibilityTimeout": 1, "maxRetries": 0})
    await subscriber.publish({})
    (letter,) = await bridge.dead_letters(queue_of("hangs"))
    assert letter["error"] == "No answer within 1000 ms"


async def test_no_more_copies_run_at_once_than_the_trigger_allows(subscriber: Subscriber) -> None:
    gate = Gate()
    await subscriber.sdk.offer(waits=gate)
    await subscriber.subscribe("waits", queue_config={"concurrency": 2})
    for message in numbered(5):
        await subscriber.publish(message)
    await eventually(lambda: len(gate.begun) == 2)
    await subscriber.sdk.settled()
    assert len(gate.begun) == 2
    gate.open()
    await eventually(lambda: len(gate.begun) == 5)


async def test_without_slots_a_subscriber_is_paused_until_it_has_some(subscriber: Subscriber) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    await subscriber.subscribe("heard", queue_config={"concurrency": 0})
    await subscriber.publish({"n": 1})
    assert heard.payloads == []
    await subscriber.subscribe("heard", queue_config={"concurrency": 1})
    await eventually(lambda: heard.payloads == [{"n": 1}])


async def test_the_newest_trigger_of_a_function_decides(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    failing = Failing()
    await subscriber.sdk.offer(fails=failing)
    await subscriber.subscribe("fails", queue_config={"maxRetries": 5})
    await subscriber.subscribe("fails", queue_config={"maxRetries": 0})
    await subscriber.publish({})
    await bridge.dead_letters(queue_of("fails"))
    assert failing.attempts == [1]


async def test_a_fifo_subscriber_gets_message_after_message_also_when_one_fails(
    subscriber: Subscriber,
) -> None:
    seen: list[tuple[int, int]] = []
    running = 0

    async def handle(call: Delivered) -> None:
        nonlocal running
        assert running == 0
        running += 1
        await asyncio.sleep(0)
        running -= 1
        seen.append((call.data["n"], call.durable["attempt"]))
        if call.data["n"] == 0 and call.durable["attempt"] < 3:
            raise RuntimeError("not yet")

    await subscriber.sdk.offer(handle=handle)
    config = {"type": "fifo", "concurrency": 5, "backoffDelayMs": 20}
    await subscriber.subscribe("handle", queue_config=config)
    for message in numbered(4):
        await subscriber.publish(message)
    await eventually(lambda: len(seen) == 6)
    assert seen == [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize("kind", ["standard", "fifo"])
async def test_a_delayed_subscriber_gets_nothing_before_its_time(
    bridge: RunningBridge, subscriber: Subscriber, kind: str
) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    await subscriber.subscribe("heard", queue_config={"delaySeconds": 1, "type": kind})
    await subscriber.publish({"n": 1})
    await eventually(lambda: heard.payloads)
    history = await events(bridge.chain(subscriber.sdk.delivered[0].durable["receipt"]))
    assert (
        _happened_at_ms(history, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        - _happened_at_ms(history, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
        >= 900
    )


def _happened_at_ms(history: list[HistoryEvent], kind: EventType.ValueType) -> int:
    return next(event.event_time.ToMilliseconds() for event in history if event.event_type == kind)
