"""FIFO lanes: strict order within a group, groups side by side (design: FIFO lanes)."""

from collections import defaultdict
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import Delivered
from tests.support.handlers import Failing, Gate, Recording, never_answer, succeed
from tests.support.running_bridge import RunningBridge, deliveries, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace, Signal, Ticket

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    fifo = {"type": "fifo", "message_group_field": "g", "backoff_ms": 1}
    return {
        "jobs": {"max_retries": 3, "backoff_ms": 1},
        "lines": {"concurrency": 4, "max_retries": 3, **fifo},
        "pair": {"concurrency": 2, **fifo},
        "once": {"max_retries": 1, **fifo},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


class FailsOnce:
    """Fails each payload's first attempt; notes what succeeded, by group."""

    def __init__(self) -> None:
        self.done: dict[Any, list[int]] = defaultdict(list)
        self.failed: set[tuple[Any, int]] = set()

    async def __call__(self, call: Delivered) -> None:
        group, n = call.data["g"], call.data["n"]
        if (group, n) not in self.failed:
            self.failed.add((group, n))
            raise RuntimeError("once")
        self.done[group].append(n)


async def test_messages_of_a_group_keep_their_order_through_retries(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    handler = FailsOnce()
    await worker.offer(job=handler)
    for n in range(4):
        for group in ("a", "b"):
            await sender.enqueue("job", {"g": group, "n": n}, "lines")
    await eventually(lambda: sum(map(len, handler.done.values())) == 8)
    assert handler.done == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}


async def test_steps_of_chains_keep_the_order_of_their_group_through_retries(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    handler = FailsOnce()

    async def parent(call: Delivered) -> None:
        for n in range(3):
            await call.enqueue("job", {"g": call.data["g"], "n": n}, "lines")

    await worker.offer(parent=parent, job=handler)
    receipts = [await sender.enqueue("parent", {"g": group}, "jobs") for group in ("a", "b")]
    for receipt in receipts:
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
        assert deliveries(await events(bridge.chain(receipt))) == ["parent", "job", "job", "job"]
    assert handler.done == {"a": [0, 1, 2], "b": [0, 1, 2]}


async def test_messages_and_turns_of_one_group_stand_in_one_line(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": 1}, "lines")

    await worker.offer(gate=gate, parent=parent, job=heard)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    await sender.enqueue("job", {"g": 1, "n": 0}, "lines")
    await sender.enqueue("parent", {}, "jobs")
    await eventually(lambda: [call for call in worker.delivered if call.function_id == "parent"])
    await worker.settled()
    await sender.enqueue("job", {"g": 1, "n": 2}, "lines")
    gate.open()
    await bridge.eventually_handled(heard.payloads, 3)
    assert heard.of("n")[0] == 0
    assert sorted(heard.of("n")) == [0, 1, 2]


async def test_groups_run_side_by_side_up_to_the_concurrency(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    running = most = 0
    done = 0

    async def job(_: Delivered) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await worker.settled()  # long enough for another one to begin
        running -= 1
        done += 1

    both = Gate()
    await worker.offer(job=job, both=both)
    for group in range(2):
        await sender.enqueue("both", {"g": group}, "pair")
    await eventually(lambda: len(both.begun) == 2)  # neither answers before both have begun
    both.open()
    for group in range(6):
        await sender.enqueue("job", {"g": f"group {group}"}, "pair")
    await eventually(lambda: done == 6)
    assert most <= 2


async def test_one_message_of_a_group_runs_at_a_time(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate = Gate()
    await worker.offer(job=gate)
    for n in range(3):
        await sender.enqueue("job", {"g": 1, "n": n}, "lines")
    await sender.enqueue("job", {"g": 2, "n": 9}, "lines")
    await eventually(lambda: len(gate.begun) == 2)
    assert sorted(call.data["n"] for call in gate.begun) == [0, 9]
    gate.open()
    await eventually(lambda: len(gate.begun) == 4)


async def test_a_lane_delivers_a_message_of_its_own_and_ends(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    await worker.offer(job=succeed)
    receipt = await sender.enqueue("job", {"g": 1}, "lines")
    lane = bridge.lane("lines", "1")
    assert (await ended(lane)).status is WorkflowExecutionStatus.COMPLETED
    assert deliveries(await events(lane)) == ["job"]
    assert (await lane.describe()).typed_search_attributes.search_attributes
    assert not [
        each async for each in bridge.client.list_workflows(f"WorkflowId = '{bridge.chain(receipt).id}'")
    ]
    (delivered,) = worker.delivered
    assert delivered.durable["chain_id"] == delivered.durable["receipt"] == receipt


async def test_a_message_of_a_lane_whose_handler_enqueues_begins_a_chain(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate = Gate()

    async def job(call: Delivered) -> None:
        await call.enqueue("next", {}, "jobs")
        await gate(call)

    await worker.offer(job=job, next=succeed)
    receipt = await sender.enqueue("job", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    await eventually(lambda: len(worker.delivered) == 2)
    chain = bridge.chain(receipt)
    assert (await chain.describe()).status is WorkflowExecutionStatus.RUNNING  # as long as the job runs
    gate.open()
    assert (await ended(chain)).status is WorkflowExecutionStatus.COMPLETED
    assert deliveries(await events(chain)) == ["next"]
    assert {call.durable["chain_id"] for call in worker.delivered} == {receipt}


async def test_a_retried_message_of_a_lane_does_not_enqueue_twice(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    failing = Failing(times=2)
    children = Recording()

    async def job(call: Delivered) -> None:
        await call.enqueue("next", {"n": 1}, "jobs")
        await failing(call)

    await worker.offer(job=job, next=children)
    receipt = await sender.enqueue("job", {"g": 1}, "lines")
    await eventually(lambda: len(failing.calls) == 3)
    chain = bridge.chain(receipt)
    assert (await ended(chain)).status is WorkflowExecutionStatus.COMPLETED
    assert failing.attempts == [1, 2, 3]
    assert len(children.payloads) == 1
    assert sorted(deliveries(await events(chain))) == ["job", "next"]


async def test_a_lost_message_of_a_lane_fails_its_chain_and_frees_the_group(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(fails=Failing(), works=heard)
    receipt = await sender.enqueue("fails", {"g": 1}, "once")
    await sender.enqueue("works", {"g": 1}, "once")
    await bridge.eventually_handled(heard.payloads, 1)
    (letter,) = await bridge.dead_letters("once")
    assert (letter["id"], letter["retries"]) == (receipt, 1)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.FAILED


async def test_a_large_message_gets_a_chain_and_keeps_the_order(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    receipts = [
        await sender.enqueue("job", {"g": 1, "n": n, "blob": "x" * (5000 * (n % 2))}, "lines")
        for n in range(6)
    ]
    await bridge.eventually_handled(heard.payloads, 6)
    assert heard.of("n") == list(range(6))
    assert (await ended(bridge.chain(receipts[1]))).status is WorkflowExecutionStatus.COMPLETED


async def test_a_chain_that_is_terminated_during_its_turn_frees_the_group(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("gate", {"g": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await eventually(lambda: gate.begun)
    await sender.enqueue("job", {"g": 1, "n": 1}, "lines")
    await bridge.chain(receipt).terminate()
    await bridge.eventually_handled(heard.payloads, 1)


async def test_a_chain_that_is_terminated_while_it_waits_is_skipped(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await eventually(lambda: [call for call in worker.delivered if call.function_id == "parent"])
    await in_line(bridge, "1", 2)
    await sender.enqueue("job", {"g": 1, "n": 2}, "lines")
    await bridge.chain(receipt).terminate()
    gate.open()
    await bridge.eventually_handled(heard.payloads, 1)
    assert heard.of("n") == [2]


async def test_a_lane_that_is_terminated_is_joined_again(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": 1}, "lines")

    await worker.offer(parent=parent, gate=gate, job=heard)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await in_line(bridge, "1", 2)
    await bridge.lane("lines", "1").terminate()
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert heard.of("n") == [1]


async def test_a_lane_never_waits_for_a_turn_that_nobody_uses(bridge: RunningBridge) -> None:
    """A ticket may come again after its step has ended: a bridge that was slow, a retried call."""
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()

    async def parent(call: Delivered) -> None:
        await gate(call)

    await worker.offer(parent=parent, job=heard)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await eventually(lambda: gate.begun)
    stray = Ticket("never-heard-of", "lines", "1", bridge.chain(receipt).id)
    await sender.enqueue("job", {"g": 1, "n": 1}, "lines")
    lane = bridge.lane("lines", "1")
    await bridge.client.start_workflow(
        "iii.fifo_lane",
        {"tenancy": {"prefix": bridge.prefix}, "queue": "lines", "group": "1"},
        id=lane.id,
        task_queue=bridge.prefix,
        start_signal=Signal.JOIN_TURN,
        start_signal_args=[stray],
    )
    await sender.enqueue("job", {"g": 1, "n": 2}, "lines")
    await bridge.eventually_handled(heard.payloads, 2)
    gate.open()
    assert (await ended(lane)).status is WorkflowExecutionStatus.COMPLETED


async def test_a_step_joins_its_lane_though_the_bridge_could_not(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge may be lost after the chain has the step and before the lane hears of it."""
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()

    async def is_lost(*_: Any) -> None:
        monkeypatch.undo()

    async def parent(call: Delivered) -> None:
        await call.enqueue("job", {"g": 1, "n": 1}, "lines")

    monkeypatch.setattr("bridge.temporal.enqueuer.TemporalEnqueuer._stand_in_line", is_lost)
    await worker.offer(parent=parent, job=heard)
    receipt = await sender.enqueue("parent", {}, "jobs")
    await bridge.eventually_handled(heard.payloads, 1)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_a_handler_that_hangs_keeps_its_group_and_no_other(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(hangs=never_answer, works=heard)
    await sender.enqueue("hangs", {"g": 1}, "lines")
    await sender.enqueue("works", {"g": 1, "n": 1}, "lines")
    await sender.enqueue("works", {"g": 2, "n": 2}, "lines")
    await bridge.eventually_handled(heard.payloads, 1)
    assert heard.of("n") == [2]


async def in_line(bridge: RunningBridge, group: str, count: int) -> None:
    """Return as soon as so many tickets have joined a lane."""

    async def joined() -> bool:
        signals = [
            event.workflow_execution_signaled_event_attributes.signal_name
            for event in await events(bridge.lane("lines", group))
            if event.HasField("workflow_execution_signaled_event_attributes")
        ]
        return len([name for name in signals if name.startswith("iii.join")]) >= count

    await eventually(joined)
