"""Handlers that go on after their attempt has ended: what they ask for, and what their chain says to it.

A bridge that does not know the invocation stands for one that was killed and started again.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Failing, Gate, Recording, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration

QUEUES: dict[str, Any] = {
    "jobs": {"max_retries": 3, "backoff_ms": 1},
    "once": {"max_retries": 1},
    "lines": {"type": "fifo", "message_group_field": "order", "max_retries": 3, "backoff_ms": 1},
}


@pytest.fixture
def queues() -> dict[str, Any]:
    return QUEUES


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


class Outlived:
    """A handler whose first attempt fails at once and goes on; the second waits until it may succeed."""

    def __init__(self) -> None:
        self.first: Delivered | None = None
        self.second = Gate()

    async def __call__(self, call: Delivered) -> str:
        if self.first is None:
            self.first = call
            raise RuntimeError("given up")
        return await self.second(call)

    async def both(self) -> tuple[Delivered, Delivered]:
        """Return the attempt that was given up and the one that runs."""
        await eventually(lambda: self.second.begun)
        assert self.first is not None
        return self.first, self.second.begun[0]


async def elsewhere(call: Delivered, other: FakeSdk) -> Delivered:
    """Return a handler's call as it goes on at another bridge, to which its worker has reconnected."""
    await other.register({call.function_id: succeed})
    return replace(call, sdk=other)


async def steps(bridge: RunningBridge, worker: FakeSdk, receipt: str) -> list[tuple[str, str]]:
    """Return the functions of a chain's steps and how far each has come."""
    found = await worker.trigger("chain::get", {"chain_id": receipt})
    assert found["chain"]["workflow_id"] == bridge.chain(receipt).id
    return [(step["function_id"], step["status"]) for step in found["steps"]]


async def test_a_message_that_differs_is_always_delivered(bridge: RunningBridge) -> None:
    worker, outlived, charged = await bridge.connect(), Outlived(), Recording()
    await worker.register({"order": outlived, "charge": charged})
    receipt = await worker.enqueue("order", {}, "jobs")
    late, running = await outlived.both()
    await running.enqueue("charge", {"n": 1}, "jobs")
    await late.enqueue("charge", {"n": 2}, "jobs")
    outlived.second.open()
    await ended(bridge.chain(receipt))

    after_the_end = await late.enqueue("charge", {"n": 3}, "jobs")
    await ended(bridge.chain(after_the_end))
    assert sorted(charged.of("n")) == [1, 2, 3]
    assert worker.delivered[-1].durable["chain_id"] == receipt


@pytest.mark.parametrize("queue", ["jobs", "lines"])
async def test_what_a_handler_enqueues_after_it_has_succeeded_is_never_taken_for_what_it_did_before(
    bridge: RunningBridge, start_bridge: StartBridge, queue: str
) -> None:
    worker, charged = await bridge.connect(), Recording()

    async def order(call: Delivered) -> None:
        await call.enqueue("charge", {"n": 1}, "jobs")

    await worker.register({"order": order, "charge": charged})
    receipt = await worker.enqueue("order", {"order": 1}, queue)
    await eventually(lambda: charged.payloads)
    await ended(bridge.chain(receipt))
    late = await elsewhere(worker.delivered[0], await (await start_bridge(QUEUES)).connect())
    await late.enqueue("charge", {"n": 1}, "jobs")
    await late.enqueue("charge", {"n": 1}, "jobs")
    await eventually(lambda: len(charged.payloads) == 3)


async def test_a_fan_out_that_a_killed_bridge_has_cut_in_two_is_delivered_once(
    start_bridge: StartBridge,
) -> None:
    bridge, other = [await start_bridge(QUEUES, max_steps_per_handler=10) for _ in range(2)]
    worker, outlived, charged = await bridge.connect(), Outlived(), Recording()
    await worker.register({"order": outlived, "charge": charged})
    receipt = await worker.enqueue("order", {}, "jobs")
    late, running = await outlived.both()
    for n in range(6):
        await late.enqueue("charge", {"n": n}, "jobs")
    goes_on = await elsewhere(late, await other.connect())
    for n in range(6, 13):
        await goes_on.enqueue("charge", {"n": n}, "jobs")
    for n in range(15):
        await running.enqueue("charge", {"n": n}, "jobs")
    for n in range(13, 15):
        await goes_on.enqueue("charge", {"n": n}, "jobs")
    outlived.second.open()
    await ended(bridge.chain(receipt))

    await eventually(lambda: len(charged.payloads) >= 15)
    assert sorted(charged.of("n")) == list(range(15))


async def test_a_program_that_was_only_passed_the_baggage_enqueues_for_itself(bridge: RunningBridge) -> None:
    worker, stranger, gate = await bridge.connect(), await bridge.connect(), Gate()
    await worker.register({"order": gate, "charge": succeed})
    receipt = await worker.enqueue("order", {}, "jobs")
    await eventually(lambda: gate.begun)
    own = await stranger.enqueue("charge", {}, "jobs", **gate.begun[0].shown)
    gate.open()
    await ended(bridge.chain(own))
    await ended(bridge.chain(receipt))

    assert await steps(bridge, worker, receipt) == [("order", "completed")]
    assert await steps(bridge, worker, own) == [("charge", "completed")]


async def test_an_undone_chain_takes_nothing_more_from_handlers_that_go_on(
    bridge: RunningBridge, start_bridge: StartBridge
) -> None:
    worker, outlived, charged = await bridge.connect(), Outlived(), Recording()
    await worker.register({"order": outlived}, {"compensate": "undo"})
    await worker.register({"undo": succeed, "charge": charged, "ship": Failing()})
    receipt = await worker.enqueue("order", {}, "jobs")
    late, running = await outlived.both()
    await running.enqueue("ship", {}, "once")
    outlived.second.open()
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.FAILED

    wait = {"event": "paid", "on_event": {"function_id": "charge", "queue": "jobs"}}
    goes_on = await elsewhere(late, await (await start_bridge(QUEUES)).connect())
    for zombie in (late, goes_on):
        with pytest.raises(CallFailed, match="given up") as refused:
            await zombie.enqueue("charge", {}, "jobs")
        assert refused.value.code == "enqueue_error"
        with pytest.raises(CallFailed, match="given up"):
            await zombie.trigger("chain::wait_for_event", wait)
    assert charged.payloads == []


async def test_a_handler_from_before_a_restart_of_its_chain_is_refused(bridge: RunningBridge) -> None:
    worker, outlived, charged = await bridge.connect(), Outlived(), Recording()
    failing = Failing(1)
    await worker.register({"order": outlived}, {"compensate": "undo"})
    await worker.register({"undo": succeed, "charge": charged, "ship": failing})
    receipt = await worker.enqueue("order", {}, "jobs")
    late, running = await outlived.both()
    lost = await running.enqueue("ship", {}, "once")
    outlived.second.open()
    await ended(bridge.chain(receipt))
    outlived.second.opened.clear()
    await bridge.dead_letters("once")
    await worker.trigger("iii::queue::redrive_message", {"queue": "once", "message_id": lost})
    await eventually(lambda: len(outlived.second.begun) == 2)

    with pytest.raises(CallFailed, match="given up"):
        await late.enqueue("charge", {}, "jobs")
    again = outlived.second.begun[1]
    await again.enqueue("charge", {}, "jobs")
    outlived.second.open()
    await eventually(lambda: charged.payloads == [{}])
    assert again.durable["idempotency_key"] == f"{receipt}/1"


async def test_what_was_enqueued_before_a_redrive_is_known_after_it(
    bridge: RunningBridge, start_bridge: StartBridge
) -> None:
    worker, gate, charged = await bridge.connect(), Gate(), Recording()
    calls: list[Delivered] = []

    async def order(call: Delivered) -> None:
        calls.append(call)
        if len(calls) == 1:
            await call.enqueue("charge", {}, "jobs")
            raise RuntimeError("given up")
        await gate(call)

    await worker.register({"order": order, "charge": charged})
    receipt = await worker.enqueue("order", {}, "once")
    await bridge.dead_letters("once")
    await ended(bridge.chain(receipt))
    await worker.trigger("iii::queue::redrive_message", {"queue": "once", "message_id": receipt})
    await eventually(lambda: gate.begun)
    late = await elsewhere(calls[0], await (await start_bridge(QUEUES)).connect())
    await late.enqueue("charge", {}, "jobs")
    gate.open()
    await bridge.has_no_dead_letters("once")
    await late.enqueue("charge", {}, "jobs")

    await ended(bridge.chain(receipt))
    assert charged.payloads == [{}]


@pytest.mark.parametrize("queue", ["jobs", "lines"])
async def test_late_waits_and_joins_are_those_of_the_retry_also_after_the_end(
    bridge: RunningBridge, start_bridge: StartBridge, queue: str
) -> None:
    worker, outlived, paid, packed = await bridge.connect(), Outlived(), Recording(), Recording()
    await worker.register({"order": outlived, "pick": succeed, "paid": paid, "pack": packed})
    receipt = await worker.enqueue("order", {"order": 1}, queue)
    late, running = await outlived.both()

    async def asked_by(call: Delivered) -> tuple[str, str]:
        picked = await call.enqueue("pick", {}, "jobs")
        join = {"receipts": [picked], "function_id": "pack", "queue": "jobs"}
        wait = {"event": "paid", "on_event": {"function_id": "paid", "queue": "jobs"}}
        joined = await call.trigger("chain::join", join)
        waiting = await call.trigger("chain::wait_for_event", wait)
        return joined["receipt"], waiting["receipt"]

    asked = await asked_by(late)
    assert await asked_by(running) == asked
    outlived.second.open()
    await worker.trigger("chain::send_event", {"chain_id": receipt, "event": "paid", "data": {}})
    await ended(bridge.chain(receipt))
    goes_on = await elsewhere(late, await (await start_bridge(QUEUES)).connect())
    assert await asked_by(goes_on) == asked

    assert (len(paid.payloads), len(packed.payloads)) == (1, 1)
    assert len(await steps(bridge, worker, receipt)) == 4


@pytest.mark.parametrize("queue", ["jobs", "lines"])
async def test_a_late_compensation_is_owed_once_and_refused_after_the_end(
    bridge: RunningBridge, start_bridge: StartBridge, queue: str
) -> None:
    worker, outlived, refunded = await bridge.connect(), Outlived(), Recording()
    await worker.register({"order": outlived, "refund": refunded, "ship": Failing()})
    receipt = await worker.enqueue("order", {"order": 1}, queue)
    late, running = await outlived.both()
    goes_on = await elsewhere(late, await (await start_bridge(QUEUES)).connect())
    undo = {"function_id": "refund", "queue": "jobs", "payload": {"amount": 7}}
    for call in (goes_on, late, running):
        await call.trigger("chain::compensate", undo)
    await running.enqueue("ship", {}, "once")
    outlived.second.open()
    await ended(bridge.chain(receipt))

    assert refunded.payloads == [{"amount": 7}]
    with pytest.raises(CallFailed) as refused:
        await goes_on.trigger("chain::compensate", undo)
    assert refused.value.code == "chain_ended"


async def test_copies_of_a_topic_are_published_once_by_both_attempts(bridge: RunningBridge) -> None:
    worker, outlived, heard = await bridge.connect(), Outlived(), Recording()
    await worker.register({"order": outlived, "listen": heard})
    await worker.send(
        {
            "type": "registertrigger",
            "id": "t",
            "trigger_type": "durable:subscriber",
            "function_id": "listen",
            "config": {"topic": "orders"},
        }
    )
    receipt = await worker.enqueue("order", {}, "jobs")
    for call in await outlived.both():
        await call.trigger("iii::durable::publish", {"topic": "orders", "data": {"n": 1}})
    outlived.second.open()
    await ended(bridge.chain(receipt))
    late, _ = await outlived.both()
    await late.trigger("iii::durable::publish", {"topic": "orders", "data": {"n": 1}})

    assert heard.payloads == [{"n": 1}]


async def test_all_bridges_of_a_prefix_share_a_key_and_make_a_new_one_when_it_was_terminated(
    start_bridge: StartBridge, bridge: RunningBridge
) -> None:
    keeper = bridge.client.get_workflow_handle(f"{bridge.prefix}.seal-key")
    key = (await (await keeper.describe()).memo())["key"]
    others = await asyncio.gather(*(start_bridge(QUEUES) for _ in range(2)))
    assert (await (await keeper.describe()).memo())["key"] == key
    await keeper.terminate()
    await start_bridge(QUEUES)
    renewed = await bridge.client.get_workflow_handle(f"{others[0].prefix}.seal-key").describe()

    assert renewed.status is WorkflowExecutionStatus.RUNNING
    assert (await renewed.memo())["key"] != key
