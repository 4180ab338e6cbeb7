"""How messages of a standard queue share it (spec 02 §3.3; §9, queue_integration and resilience)."""

from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.support.handlers import Failing, Gate, Recording, never_answer
from tests.support.running_bridge import RunningBridge, deliveries, ended, events
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "three": {"concurrency": 3},
        "one": {"concurrency": 1, "max_retries": 2, "backoff_ms": 1},
        "payment": {"type": "fifo", "message_group_field": "transaction_id", "backoff_ms": 1},
        "later": {"delay_field": "in_ms"},
        "slow": {"rate_per_s": 4},
    }


async def test_one_enqueue_is_one_call(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    receipt = await worker.enqueue("job", {"n": 1}, "default")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert deliveries(await events(bridge.chain(receipt))) == ["job"]
    assert heard.payloads == [{"n": 1}]


async def test_as_many_messages_run_at_once_as_the_concurrency_says(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate = Gate()
    await worker.offer(job=gate)
    receipts = [await sender.enqueue("job", {"n": n}, "three") for n in range(4)]
    await eventually(lambda: len(gate.begun) == 3)

    async def waits() -> bool:
        stats = await sender.trigger("engine::queue::topic_stats", {"topic": "three"})
        return int(stats["depth"]) == 1

    await eventually(waits)
    assert len(gate.begun) == 3
    gate.open()
    for receipt in receipts:
        await ended(bridge.chain(receipt))
    assert len(gate.begun) == 4


async def test_queues_do_not_hold_each_other_up(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    standard, fifo = Recording(), Recording()
    await worker.offer(hangs=never_answer, standard=standard, fifo=fifo)
    await sender.enqueue("hangs", {}, "one")
    for n in range(3):
        await sender.enqueue("standard", {"n": n}, "default")
        await sender.enqueue("fifo", {"n": n, "transaction_id": "t"}, "payment")
    await bridge.eventually_handled(standard.payloads, 3)
    await bridge.eventually_handled(fifo.payloads, 3)
    assert sorted(standard.of("n")) == fifo.of("n") == [0, 1, 2]


async def test_a_message_that_always_fails_leaves_its_queue_to_the_others(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    failing, heard = Failing(), Recording()
    await worker.offer(fails=failing, works=heard)
    lost = await sender.enqueue("fails", {"panic": True}, "one")
    await sender.enqueue("works", {"n": 1}, "one")
    await bridge.eventually_handled(heard.payloads, 1)
    (letter,) = await bridge.dead_letters("one")
    assert (letter["id"], letter["payload"]) == (lost, {"panic": True})
    assert len(failing.calls) == 2


async def test_a_message_goes_to_the_namespace_that_its_enqueuer_named(bridge: RunningBridge) -> None:
    elsewhere, here = await bridge.connect("orders"), await bridge.connect()
    there, never = Recording(), Recording()
    await elsewhere.offer(job=there)
    await here.offer(job=never)
    receipt = await here.enqueue("job", {"n": 1}, "default", namespace="orders")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert (there.payloads, never.payloads) == ([{"n": 1}], [])


async def test_messages_that_are_due_at_once_are_delivered_once_each(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    receipts = [await sender.enqueue("job", {"n": n, "in_ms": 300}, "later") for n in range(10)]
    for receipt in receipts:
        await ended(bridge.chain(receipt))
    assert sorted(heard.of("n")) == list(range(10))


async def test_a_rate_spreads_the_starts_of_attempts(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    receipts = [await sender.enqueue("job", {"n": n}, "slow") for n in range(10)]
    await bridge.eventually_handled(heard.payloads, 10)
    started = sorted(
        [
            event.event_time.ToMilliseconds()
            for receipt in receipts
            for event in await events(bridge.chain(receipt))
            if event.HasField("activity_task_started_event_attributes")
        ]
    )
    # A second's worth may start at once; the others have to wait for the next seconds.
    assert started[-1] - started[0] >= 1000
