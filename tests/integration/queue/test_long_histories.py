"""Chains and lanes that outgrow one history go on in a fresh one, and nothing is lost or reordered."""

from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from tests.support.fake_sdk import Delivered
from tests.support.handlers import Failing, Gate, Recording
from tests.support.running_bridge import RunningBridge, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration


@pytest.fixture
def pace() -> Pace:
    return Pace(
        provider_check_ms=50,
        turn_check_ms=500,
        lane_check_ms=500,
        longest_check_ms=1000,
        events_per_run=40,
    )


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 3, "backoff_ms": 1, "concurrency": 5},
        "once": {"max_retries": 1},
        "lines": {"type": "fifo", "message_group_field": "g", "max_retries": 3, "backoff_ms": 1},
    }


async def run_count(bridge: RunningBridge, handle: WorkflowHandle[Any, Any]) -> int:
    """Count the runs of one execution chain that visibility knows."""
    query = f"WorkflowId = '{handle.id}'"
    return len([each async for each in bridge.client.list_workflows(query)])


async def has_continued(bridge: RunningBridge, handle: WorkflowHandle[Any, Any], runs: int = 2) -> None:
    async def enough() -> bool:
        return await run_count(bridge, handle) >= runs

    await eventually(enough)


async def test_a_chain_that_goes_on_and_on_begins_a_fresh_history(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()

    async def hop(call: Delivered) -> None:
        await heard(call)
        if call.data["n"] < 30:
            await call.enqueue("hop", {"n": call.data["n"] + 1}, "jobs")

    await worker.offer(hop=hop)
    receipt = await worker.enqueue("hop", {"n": 1}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert await bridge.chain(receipt).result() == "30 steps completed"
    assert heard.of("n") == list(range(1, 31))
    await has_continued(bridge, bridge.chain(receipt), runs=2)


async def test_a_wide_chain_delivers_every_step_once(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()

    async def parent(call: Delivered) -> None:
        for n in range(60):
            await call.enqueue("child", {"n": n, "pad": "x" * 10_000}, "jobs")

    await worker.offer(parent=parent, child=heard)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await bridge.eventually_handled(heard.payloads, 60)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(heard.of("n")) == list(range(60))
    await has_continued(bridge, bridge.chain(receipt))


@pytest.mark.parametrize("pace", [Pace(events_per_run=40)])
async def test_what_is_too_much_to_carry_moves_into_chains_of_its_own(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.chain._MOST_BYTES_CARRIED", 20_000)
    worker = await bridge.connect()
    heard = Recording()
    gate = Gate()

    async def parent(call: Delivered) -> None:
        for n in range(80):
            await call.enqueue("child", {"n": n}, "jobs")
        await gate(call)

    await worker.offer(parent=parent, child=heard)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await eventually(lambda: gate.begun)
    gate.open()
    await bridge.eventually_handled(heard.payloads, 80)
    assert sorted(heard.of("n")) == list(range(80))
    assert {call.durable["chain_id"] for call in worker.delivered} == {receipt}
    assert len({call.durable["workflow_id"] for call in worker.delivered}) > 1


async def test_a_message_that_waits_for_a_provider_takes_its_attempts_along(bridge: RunningBridge) -> None:
    worker, other = await bridge.connect(), await bridge.connect()
    calls: list[Delivered] = []

    async def leaves(call: Delivered) -> None:
        calls.append(call)
        await other.withdraw("job")
        raise RuntimeError("and gone")

    await other.offer(job=leaves)
    receipt = await worker.enqueue("job", {"n": 1}, "jobs")
    await has_continued(bridge, bridge.chain(receipt))
    failing = Failing()
    await worker.offer(job=failing)
    (letter,) = await bridge.dead_letters("jobs")
    assert (letter["id"], letter["payload"], letter["retries"]) == (receipt, {"n": 1}, 3)
    assert failing.attempts == [2, 3]


async def test_a_lost_step_is_remembered_and_its_redrive_forgives_it(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing, heard = Failing(times=1), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("fails", {}, "once")
        await call.enqueue("absent", {}, "jobs")

    await worker.offer(parent=parent, fails=failing)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await bridge.dead_letters("once")
    await has_continued(bridge, bridge.chain(receipt))
    await worker.trigger("iii::queue::redrive", {"queue": "once"})
    await eventually(lambda: len(failing.calls) == 2)
    await worker.offer(absent=heard)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_a_long_line_is_carried_over_in_its_order(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": call.data["n"]}, "lines")

    await worker.offer(gate=gate, job=heard, parent=parent)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    for n in range(24):
        await sender.enqueue("job", {"g": 1, "n": n}, "lines")
    gate.open()
    await bridge.eventually_handled(heard.payloads, 24)
    assert heard.of("n") == list(range(24))
    await has_continued(bridge, bridge.lane("lines", "1"))


@pytest.mark.parametrize("pace", [Pace(events_per_run=40)])
async def test_a_line_too_long_to_carry_moves_into_chains_and_keeps_its_order(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.fifo_lane._MOST_BYTES_CARRIED", 10_000)
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()
    await worker.offer(gate=gate, job=heard)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    receipts = [await sender.enqueue("job", {"g": 1, "n": n}, "lines") for n in range(24)]
    gate.open()
    await bridge.eventually_handled(heard.payloads, 24)
    assert heard.of("n") == list(range(24))
    assert (await ended(bridge.chain(receipts[23]))).status is WorkflowExecutionStatus.COMPLETED


@pytest.mark.parametrize("pace", [Pace(events_per_run=40, places_per_run=5)])
async def test_places_too_many_to_carry_are_left_in_annexes_and_keep_their_order(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.line._MOST_PLACES_PER_PAGE", 4)
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": call.data["n"]}, "lines")

    await worker.offer(gate=gate, job=heard, parent=parent)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    for n in range(40):
        if n % 4:
            await sender.enqueue("job", {"g": 1, "n": n}, "lines")
        else:
            receipt = await sender.enqueue("parent", {"n": n}, "jobs")
            await in_line_of(bridge, receipt)
    gate.open()
    for n in range(40, 60):
        await sender.enqueue("job", {"g": 1, "n": n}, "lines")
    await eventually(lambda: len(heard.payloads) >= 60)
    assert heard.of("n") == list(range(60))
    assert (await ended(bridge.lane("lines", "1"))).status is WorkflowExecutionStatus.COMPLETED
    annexes = f"WorkflowType = 'iii.fifo_annex' AND WorkflowId STARTS_WITH '{bridge.prefix}.'"
    assert (await bridge.client.count_workflows(annexes)).count >= 1


async def in_line_of(bridge: RunningBridge, receipt: str) -> None:
    """Return as soon as the step that a chain's first one enqueued has joined the lane."""

    async def joined() -> bool:
        tickets = [
            payload.data
            for event in await events(bridge.lane("lines", "1"))
            for payload in event.workflow_execution_signaled_event_attributes.input.payloads
        ]
        return any(b"chain_workflow_id" in data and receipt.encode() in data for data in tickets)

    await eventually(joined)


async def test_a_lane_goes_on_in_a_fresh_history_while_a_turn_lasts(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("gate", {"g": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    await sender.enqueue("parent", {}, "jobs")
    await eventually(lambda: gate.begun)
    for n in range(15):
        await sender.enqueue("job", {"g": 1, "n": n}, "lines")
    await has_continued(bridge, bridge.lane("lines", "1"))
    assert heard.payloads == []
    gate.open()
    await bridge.eventually_handled(heard.payloads, 15)
    assert heard.of("n") == list(range(15))
    assert len(gate.begun) == 1


async def test_a_step_in_the_line_takes_its_place_along(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await has_continued(bridge, bridge.chain(receipt))  # it asks the lane every now and then
    await sender.enqueue("job", {"g": 1, "n": 2}, "lines")
    gate.open()
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [1, 2]
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
