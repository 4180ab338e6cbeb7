"""What iii's own tests pin down of redrives (spec 02 §9, dlq_redrive_e2e)."""

from typing import Any

import pytest

from tests.support.fake_sdk import CallFailed, FakeSdk
from tests.support.handlers import Failing, Recording, numbered
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {"orders": {"type": "standard", "concurrency": 1, "max_retries": 2, "backoff_ms": 50}}


async def redrive(worker: FakeSdk) -> Any:
    return await worker.trigger("iii::queue::redrive", {"queue": "orders"})


async def dead(worker: FakeSdk) -> int:
    stats = await worker.trigger("engine::queue::topic_stats", {"topic": "orders"})
    count: int = stats["dlq_depth"]
    return count


async def test_after_the_handler_was_replaced_the_message_is_processed_once(bridge: RunningBridge) -> None:
    worker, failing, good = await bridge.connect(), Failing(), Recording()
    await worker.offer(job=failing)
    await worker.enqueue("job", {"n": 1}, "orders")
    await eventually(lambda: dead(worker))
    assert (len(failing.calls), await dead(worker)) == (2, 1)

    await worker.offer(job=good)
    await redrive(worker)
    await bridge.eventually_handled(good.payloads, 1)
    await bridge.has_no_dead_letters("orders")
    assert (good.payloads, len(failing.calls)) == ([{"n": 1}], 2)


async def test_every_dead_letter_of_a_queue_is_processed_and_counted(bridge: RunningBridge) -> None:
    worker, good = await bridge.connect(), Recording()
    await worker.offer(job=Failing())
    for payload in numbered(3):
        await worker.enqueue("job", payload, "orders")
    await bridge.dead_letters("orders", 3)

    await worker.offer(job=good)
    assert await redrive(worker) == {"queue": "orders", "redriven": 3}
    await bridge.eventually_handled(good.payloads, 3)
    assert sorted(good.of("n")) == [0, 1, 2]
    await bridge.has_no_dead_letters("orders")


async def test_nothing_to_redrive_is_a_success(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    assert await redrive(worker) == {"queue": "orders", "redriven": 0}
    assert await dead(worker) == 0


async def test_a_redrive_needs_a_name(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed) as refused:
        await worker.trigger("iii::queue::redrive", {"queue": ""})
    assert (refused.value.code, refused.value.message) == ("queue_not_set", "Queue name is required")


async def test_attempts_begin_anew_so_that_a_handler_that_fails_five_times_succeeds(
    bridge: RunningBridge,
) -> None:
    worker, failing = await bridge.connect(), Failing(times=5)
    await worker.offer(job=failing)
    await worker.enqueue("job", {}, "orders")
    for calls in (2, 4):
        await eventually(lambda: len(failing.calls) == calls)  # noqa: B023 - awaited here
        await bridge.dead_letters("orders")
        assert (await redrive(worker))["redriven"] == 1
    await eventually(lambda: len(failing.calls) == 6)
    await bridge.has_no_dead_letters("orders")
    assert failing.attempts == [1, 2] * 3
