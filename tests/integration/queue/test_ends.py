"""Workflows that are cancelled or terminated from outside, as from the Web UI."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Failing, Gate, Recording, succeed
from tests.support.running_bridge import RunningBridge, deliveries, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 3, "backoff_ms": 1},
        "slow": {"max_retries": 3, "backoff_ms": 600_000},
        "lines": {"type": "fifo", "message_group_field": "g", "backoff_ms": 1},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


async def cancelled(handle: WorkflowHandle[Any, Any]) -> None:
    await handle.cancel()
    assert (await ended(handle)).status is WorkflowExecutionStatus.CANCELED


async def test_a_chain_cancelled_during_an_attempt_ends_when_that_has_finished(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    gate = Gate()
    await worker.offer(job=gate)
    receipt = await worker.enqueue("job", {}, "jobs")
    await eventually(lambda: gate.begun)
    chain = bridge.chain(receipt)
    await chain.cancel()
    await eventually(lambda: has_event(chain, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED))
    gate.open()
    assert (await ended(chain)).status is WorkflowExecutionStatus.CANCELED
    assert len(gate.begun) == 1


async def test_a_chain_cancelled_during_an_attempt_that_then_fails_does_not_try_again(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    gate, calls = Gate(), []

    async def fail(call: Delivered) -> None:
        calls.append(call)
        await gate(call)
        raise CallFailed("invocation_failed", "boom", "")

    await worker.offer(job=fail)
    chain = bridge.chain(await worker.enqueue("job", {}, "jobs"))
    await eventually(lambda: gate.begun)
    await chain.cancel()
    await eventually(lambda: has_event(chain, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED))
    gate.open()
    assert (await ended(chain)).status is WorkflowExecutionStatus.CANCELED
    assert len(calls) == 1
    assert await worker.trigger("engine::queue::dlq_messages", {"topic": "jobs"}) == []


async def test_a_chain_cancelled_between_attempts_ends_as_cancelled(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing = Failing()
    await worker.offer(job=failing)
    receipt = await worker.enqueue("job", {}, "slow")
    await eventually(lambda: failing.calls)
    await cancelled(bridge.chain(receipt))
    assert await worker.trigger("engine::queue::dlq_messages", {"topic": "slow"}) == []


async def test_a_chain_cancelled_while_nobody_offers_its_function_ends_as_cancelled(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    receipt = await worker.enqueue("absent", {}, "jobs")
    await eventually_waits(bridge, receipt)
    await cancelled(bridge.chain(receipt))


async def test_a_chain_cancelled_during_its_turn_frees_the_group(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("gate", {"g": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await eventually(lambda: gate.begun)
    await sender.enqueue("job", {"g": 1, "n": 1}, "lines")
    await bridge.chain(receipt).cancel()
    gate.open()
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.CANCELED
    await bridge.eventually_handled(heard.payloads, 1)


async def test_a_chain_cancelled_in_the_line_gives_up_its_place(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    receipt = await sender.enqueue("parent", {}, "jobs")
    chain = bridge.chain(receipt)
    await eventually(lambda: [call for call in worker.delivered if call.function_id == "parent"])
    await cancelled(chain)
    await sender.enqueue("job", {"g": 1, "n": 2}, "lines")
    gate.open()
    await bridge.eventually_handled(heard.payloads, 1)
    assert heard.of("n") == [2]
    assert deliveries(await events(chain)) == ["parent"]


async def test_a_cancelled_lane_loses_nothing(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()
    await worker.offer(gate=gate, job=heard)
    receipts = [await sender.enqueue("gate", {"g": 1}, "lines")]
    await eventually(lambda: gate.begun)
    receipts += [await sender.enqueue("job", {"g": 1, "n": n}, "lines") for n in range(3)]
    await cancelled(bridge.lane("lines", "1"))
    gate.open()
    for receipt in receipts:
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(heard.of("n")) == [0, 1, 2]


async def test_a_cancelled_dead_letter_lets_its_message_go(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(fails=Failing(), works=succeed)
    receipt = await worker.enqueue("fails", {}, "jobs")
    await bridge.dead_letters("jobs")
    await cancelled(bridge.dead_letter("jobs", receipt))
    answer = await worker.trigger("iii::queue::redrive_message", {"queue": "jobs", "message_id": receipt})
    assert answer["redriven"] == 0


async def has_event(chain: WorkflowHandle[Any, Any], kind: EventType.ValueType) -> bool:
    return any(event.event_type == kind for event in await events(chain))


async def eventually_waits(bridge: RunningBridge, receipt: str) -> None:
    async def waits() -> bool:
        description = await bridge.chain(receipt).describe()
        return any(pair.key.name == "IiiWaiting" for pair in description.typed_search_attributes)

    await eventually(waits)
