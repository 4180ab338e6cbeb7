"""Messages that go first, and messages that go later (spec 02 §9, rabbitmq 19)."""

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Gate, Recording
from tests.support.running_bridge import RunningBridge, StartBridge, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    fifo = {"type": "fifo", "message_group_field": "g", "backoff_ms": 1}
    return {
        "jobs": {},
        "urgent": {"concurrency": 1, "priority_field": "p"},
        "urgent-lines": {"concurrency": 1, "priority_field": "p", **fifo},
        "later": {"delay_field": "in_ms"},
        "later-lines": {"delay_field": "in_ms", **fifo},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


async def has_backlog(sender: FakeSdk, queue: str, count: int) -> None:
    """Return as soon as so many deliveries of a queue wait for the only slot."""

    async def waiting() -> bool:
        stats = await sender.trigger("engine::queue::topic_stats", {"topic": queue})
        return int(stats["depth"]) >= count

    await eventually(waiting)


@pytest.mark.parametrize("queue", ["urgent", "urgent-lines"])
async def test_a_backlog_drains_by_priority_highest_first(bridge: RunningBridge, queue: str) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    primer, heard = Gate(), Recording()
    await worker.offer(primer=primer, job=heard)
    await sender.enqueue("primer", {"g": "primer", "p": 0}, queue)
    await eventually(lambda: primer.begun)
    wanted: list[Any] = [0, 1, 2, 3, 4, "none"]
    for p in wanted:
        await sender.enqueue("job", {"g": f"group {p}", "p": p}, queue)
    await has_backlog(sender, queue, len(wanted))
    primer.open()
    await bridge.eventually_handled(heard.payloads, len(wanted))
    assert heard.of("p")[:4] == [4, 3, 2, 1]
    assert set(heard.of("p")[4:]) == {0, "none"}


async def test_a_delayed_message_waits_and_others_do_not(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    late = await sender.enqueue("job", {"n": 1, "in_ms": 1000}, "later")
    prompt = await sender.enqueue("job", {"n": 2}, "later")
    for receipt in (late, prompt):
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(heard.of("n")) == [1, 2]
    assert await waited_for(bridge, late, "job")
    assert not await waited_for(bridge, prompt, "job")


async def test_a_step_of_a_chain_can_be_delayed(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"n": 1, "in_ms": 300}, "later")

    await worker.offer(parent=parent, job=heard)
    receipt = await worker.enqueue("parent", {}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert heard.of("n") == [1]
    assert await waited_for(bridge, receipt, "job")


async def test_a_delay_outlives_the_bridge_and_the_history(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first = await start_bridge(queues)
    receipt = await (await first.connect()).enqueue("job", {"n": 1, "in_ms": 1500}, "later")
    await first.stop()
    second = await start_bridge(queues, pace=Pace(events_per_run=3))
    heard = Recording()
    await (await second.connect()).offer(job=heard)
    assert (await ended(second.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert heard.of("n") == [1]


async def test_a_delayed_message_joins_its_group_when_it_is_due(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    clock = asyncio.get_running_loop().time
    for delay_ms in (1_000, 4_000, 16_000):
        heard.payloads.clear()
        began_s = clock()
        await sender.enqueue("job", {"g": delay_ms, "n": 1, "in_ms": delay_ms}, "later-lines")
        await sender.enqueue("job", {"g": delay_ms, "n": 2}, "later-lines")
        was_in_time = clock() - began_s < delay_ms / 1000
        await bridge.eventually_handled(heard.payloads, 2)
        if was_in_time:  # or else the machine is too busy to tell
            break
    assert heard.of("n") == [2, 1]


@pytest.mark.parametrize("delay", [-1, "soon", None, 10**12])
async def test_a_delay_that_is_none_is_refused(bridge: RunningBridge, delay: Any) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed, match=r"'later'.*'in_ms'") as failed:
        await worker.enqueue("job", {"in_ms": delay}, "later")
    assert failed.value.code == "enqueue_error"


async def waited_for(bridge: RunningBridge, receipt: str, function_id: str) -> bool:
    """Tell whether a timer fired in a chain before a function was first delivered to."""
    fired = False
    for event in await events(bridge.chain(receipt)):
        fired = fired or event.event_type == EventType.EVENT_TYPE_TIMER_FIRED
        if event.activity_task_scheduled_event_attributes.activity_type.name == function_id:
            return fired
    return False
