"""Compensations: what a chain has completed is undone when it is lost or cancelled (docs/chains.md)."""

from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk, Handler
from tests.support.handlers import Failing, Gate, Recording, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, deliveries, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 1},
        "twice": {"max_retries": 2, "backoff_ms": 1},
        "lines": {"type": "fifo", "message_group_field": "order", "max_retries": 1},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


class Order:
    """Functions of an order, each of which enqueues the next; notes what ran, and what was undone."""

    def __init__(self, *steps: str, queue: str = "jobs") -> None:
        self.steps = steps
        self.queue = queue
        self.ran: list[str] = []
        self.undone: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.undo_keys: list[str] = []

    def step(self, name: str) -> Handler:
        following = dict(zip(self.steps, self.steps[1:], strict=False))

        async def run(call: Delivered) -> dict[str, str]:
            self.ran.append(name)
            self.keys.append(call.durable["idempotency_key"])
            if name in following:
                await call.enqueue(following[name], {"order": 7, "from": name}, self.queue)
            return {"did": name}

        return run

    async def undo(self, call: Delivered) -> None:
        self.undone.append(call.data)
        self.undo_keys.append(call.durable["idempotency_key"])

    async def offer(self, worker: FakeSdk) -> None:
        """Offer every step with `undo::<step>` as its compensation."""
        for name in self.steps:
            await worker.register({name: self.step(name)}, {"compensate": f"undo::{name}"})
            await worker.register({f"undo::{name}": self.undo})

    @property
    def undone_steps(self) -> list[str]:
        return [each["function_id"] for each in self.undone]


async def failed(bridge: RunningBridge, receipt: str) -> None:
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.FAILED


async def test_completed_steps_are_undone_in_reverse_order_when_a_step_is_lost(bridge: RunningBridge) -> None:
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship")
    await order.offer(worker)
    failing = Failing()
    await worker.register({"ship": failing}, {"compensate": "undo::ship"})
    receipt = await worker.enqueue("reserve", {"order": 7}, "jobs")
    await failed(bridge, receipt)
    assert order.undone_steps == ["charge", "reserve"]
    assert order.undone[1] == {
        "function_id": "reserve",
        "input": {"order": 7},
        "result": {"did": "reserve"},
        "receipt": receipt,
    }
    ran = deliveries(await events(bridge.chain(receipt)))
    assert ran == ["reserve", "charge", "ship", "undo::charge", "undo::reserve"]


async def test_a_chain_that_completes_undoes_nothing(bridge: RunningBridge) -> None:
    worker, order = await bridge.connect(), Order("reserve", "charge")
    await order.offer(worker)
    receipt = await worker.enqueue("reserve", {}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert order.undone == []


async def test_the_configuration_says_what_undoes_a_function_and_wins_over_its_metadata(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    bridge = await start_bridge(
        queues,
        compensations={"reserve": "release", "charge": {"function_id": "refund", "queue": "twice"}},
    )
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship")
    await order.offer(worker)
    refund, release = Failing(1), Recording()
    await worker.register({"ship": Failing(), "refund": refund, "release": release})
    await failed(bridge, await worker.enqueue("reserve", {}, "jobs"))
    assert refund.attempts == [1, 2]
    assert len(release.payloads) == 1
    assert order.undone == []


async def test_a_compensation_declared_while_the_step_runs_counts_even_if_the_step_is_lost(
    bridge: RunningBridge,
) -> None:
    worker, refund = await bridge.connect(), Recording()

    async def charge(call: Delivered) -> None:
        await call.trigger(
            "chain::compensate", {"function_id": "refund", "payload": {"amount": 5}, "queue": "jobs"}
        )
        raise CallFailed("invocation_failed", "the receipt printer is on fire")

    await worker.offer(charge=charge, refund=refund)
    receipt = await worker.enqueue("charge", {}, "twice")
    await failed(bridge, receipt)
    assert refund.payloads == [{"amount": 5}]


async def test_a_step_is_undone_even_if_its_worker_took_the_function_back_while_it_ran(
    bridge: RunningBridge,
) -> None:
    worker, release = await bridge.connect(), Recording()

    async def reserve(call: Delivered) -> None:
        await call.enqueue("ship", {}, "jobs")
        await worker.withdraw("reserve")  # as a worker does that is told to stop

    await worker.register({"reserve": reserve}, {"compensate": "release"})
    await worker.register({"ship": Failing(), "release": release})
    await failed(bridge, await worker.enqueue("reserve", {}, "jobs"))
    assert [each["function_id"] for each in release.payloads] == ["reserve"]


async def test_a_compensation_outside_any_chain_is_refused(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed, match="inside a handler") as refused:
        await worker.trigger("chain::compensate", {"function_id": "refund"})
    assert refused.value.code == "no_chain"


async def test_a_compensation_redriven_while_others_run_runs_again_and_nothing_else_does(
    bridge: RunningBridge,
) -> None:
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship")
    await order.offer(worker)
    undo_charge, gate = Failing(1), Gate()
    await worker.register({"ship": Failing(), "undo::charge": undo_charge, "undo::reserve": gate})
    receipt = await worker.enqueue("reserve", {}, "jobs")
    await eventually(lambda: gate.begun)
    letters = await bridge.dead_letters("jobs", 2)
    (lost,) = [letter for letter in letters if letter["payload"].get("function_id") == "charge"]
    await worker.trigger("iii::queue::redrive_message", {"queue": "jobs", "message_id": lost["id"]})
    gate.open()
    await failed(bridge, receipt)
    assert (len(undo_charge.calls), len(gate.begun)) == (2, 1)
    assert order.ran == ["reserve", "charge"]


async def test_a_chain_redriven_while_it_compensates_begins_again_when_that_is_done(
    bridge: RunningBridge,
) -> None:
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship")
    await order.offer(worker)
    gate, ship = Gate(), Failing(1)
    await worker.register({"ship": ship, "undo::reserve": gate})
    receipt = await worker.enqueue("reserve", {}, "jobs")
    await eventually(lambda: gate.begun)
    (letter,) = await bridge.dead_letters("jobs")
    await worker.trigger("iii::queue::redrive_message", {"queue": "jobs", "message_id": letter["id"]})
    assert order.ran == ["reserve", "charge"]
    gate.open()
    await eventually(lambda: len(ship.calls) == 2)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert order.ran == ["reserve", "charge", "reserve", "charge"]


async def test_a_step_that_has_not_begun_does_not_begin_when_another_is_lost(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, late, undo = Gate(), Recording(), Recording()

    async def first(call: Delivered) -> None:
        await call.enqueue("second", {"order": 1}, "jobs")
        await call.enqueue("late", {"order": 1}, "lines")

    await worker.register({"first": first}, {"compensate": "undo"})
    await worker.register({"second": Failing(), "late": late, "gate": gate, "undo": undo})
    await sender.enqueue("gate", {"order": 1}, "lines")
    await eventually(lambda: gate.begun)
    receipt = await sender.enqueue("first", {}, "jobs")
    await failed(bridge, receipt)
    assert len(undo.payloads) == 1
    gate.open()
    await ended(bridge.lane("lines", "1"))
    assert late.payloads == []
    (step,) = [each for each in (await steps(worker, receipt)) if each["function_id"] == "late"]
    assert step["status"] == "dropped"


async def test_a_step_that_runs_when_another_is_lost_finishes_and_is_undone(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, undo = Gate(), Recording()

    async def first(call: Delivered) -> None:
        await call.enqueue("slow", {"n": 1}, "jobs")
        await call.enqueue("second", {"n": 2}, "jobs")

    async def second(_: Delivered) -> None:
        await eventually(lambda: gate.begun)
        raise CallFailed("invocation_failed", "boom")

    await worker.register({"first": first, "slow": gate}, {"compensate": "undo"})
    await worker.register({"second": second, "undo": undo})
    receipt = await sender.enqueue("first", {}, "jobs")
    await bridge.dead_letters("jobs")
    gate.open()
    await failed(bridge, receipt)
    assert [each["function_id"] for each in undo.payloads] == ["slow", "first"]


async def test_a_cancelled_chain_undoes_what_has_completed(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, undo = Gate(), Recording()

    async def first(call: Delivered) -> None:
        await call.enqueue("slow", {}, "jobs")

    await worker.register({"first": first, "slow": gate}, {"compensate": "undo"})
    await worker.register({"undo": undo})
    receipt = await sender.enqueue("first", {}, "jobs")
    await eventually(lambda: gate.begun)
    answer = await sender.trigger("chain::cancel", {"receipt": receipt})
    assert answer["cancelled"] is True
    gate.open()
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.CANCELED
    assert [each["function_id"] for each in undo.payloads] == ["slow", "first"]
    assert await sender.trigger("chain::cancel", {"receipt": receipt}) == answer | {"cancelled": False}


async def test_a_step_that_completes_in_the_moment_of_the_cancellation_is_undone(
    bridge: RunningBridge,
) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    undo = Recording()

    async def first(call: Delivered) -> None:
        chain = bridge.chain(call.durable["chain_id"])
        # both are known to the workflow at once: the cancellation and the end of this step
        await chain.cancel()

    await worker.register({"first": first}, {"compensate": "undo"})
    await worker.register({"undo": undo})
    receipt = await sender.enqueue("first", {}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.CANCELED
    assert [each["function_id"] for each in undo.payloads] == ["first"]
    (step, _) = await steps(sender, receipt)
    assert step["status"] == "completed"


async def test_a_terminated_chain_undoes_nothing(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    gate, undo = Gate(), Recording()

    async def first(call: Delivered) -> None:
        await call.enqueue("slow", {}, "jobs")

    await worker.register({"first": first, "slow": gate}, {"compensate": "undo"})
    await worker.register({"undo": undo})
    receipt = await sender.enqueue("first", {}, "jobs")
    await eventually(lambda: gate.begun)
    await bridge.chain(receipt).terminate()
    gate.open()
    after = await sender.enqueue("first", {}, "jobs")
    assert (await ended(bridge.chain(after))).status is WorkflowExecutionStatus.COMPLETED
    assert undo.payloads == []


async def test_a_compensated_chain_is_redriven_from_its_first_message_with_fresh_idempotency_keys(
    bridge: RunningBridge,
) -> None:
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship")
    await order.offer(worker)
    await worker.register({"ship": Failing()})
    receipt = await worker.enqueue("reserve", {"order": 7}, "jobs")
    await failed(bridge, receipt)
    await worker.register({"ship": order.step("ship")})
    answer = await worker.trigger("iii::queue::redrive", {"queue": "jobs"})
    assert answer["redriven"] == 1
    await eventually(lambda: order.ran == ["reserve", "charge", "reserve", "charge", "ship"])
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert len(set(order.keys)) == len(order.keys)
    assert len(order.undone) == 2


async def test_one_redrive_is_enough_for_all_lost_steps_of_a_compensated_chain(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    first_calls, undo = Recording(), Recording()
    failing = Failing(2)

    async def first(call: Delivered) -> None:
        await first_calls(call)
        await call.enqueue("fails", {"n": 1}, "jobs")
        await call.enqueue("fails", {"n": 2}, "jobs")
        await eventually(lambda: len(failing.calls) >= 2)

    await worker.register({"first": first}, {"compensate": "undo"})
    await worker.register({"fails": failing, "undo": undo})
    receipt = await sender.enqueue("first", {}, "jobs")
    await failed(bridge, receipt)
    letters = await bridge.dead_letters("jobs", 2)
    for letter in letters:
        await sender.trigger("iii::queue::redrive_message", {"queue": "jobs", "message_id": letter["id"]})
    await eventually(lambda: len(failing.calls) == 4)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    await bridge.has_no_dead_letters("jobs")
    assert len(first_calls.payloads) == 2


async def test_what_a_compensation_enqueues_is_delivered(bridge: RunningBridge) -> None:
    worker, told = await bridge.connect(), Recording()

    async def undo(call: Delivered) -> None:
        await call.enqueue("notify", {"undone": True}, "jobs")

    async def first(call: Delivered) -> None:
        await call.enqueue("fails", {}, "jobs")

    await worker.register({"first": first}, {"compensate": "undo"})
    await worker.register({"undo": undo, "fails": Failing(), "notify": told})
    await failed(bridge, await worker.enqueue("first", {}, "jobs"))
    await bridge.eventually_handled(told.payloads, 1)


async def test_steps_of_fifo_groups_are_undone_like_any_other(bridge: RunningBridge) -> None:
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship", queue="lines")
    await order.offer(worker)
    await worker.register({"ship": Failing()})
    receipt = await worker.enqueue("reserve", {"order": 7}, "lines")
    await bridge.dead_letters("lines")
    await failed(bridge, receipt)
    assert order.undone_steps == ["charge", "reserve"]
    # the group goes on
    await worker.register({"ship": succeed})
    again = await worker.enqueue("reserve", {"order": 7, "n": 2}, "lines")
    await bridge.eventually_handled(order.ran, 4)
    assert (await ended(bridge.chain(again))).status is WorkflowExecutionStatus.COMPLETED


async def test_a_bridge_that_is_lost_while_it_compensates_repeats_no_finished_compensation(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    bridge = await start_bridge(queues)
    worker, order = await bridge.connect(), Order("reserve", "charge", "ship")
    await order.offer(worker)
    gate = Gate()
    await worker.register({"ship": Failing(), "undo::reserve": gate})
    receipt = await worker.enqueue("reserve", {}, "jobs")
    await eventually(lambda: gate.begun)
    chain = bridge.chain(receipt)
    await bridge.stop()
    after = await start_bridge(queues)
    worker = await after.connect()
    await worker.register({"undo::reserve": order.undo, "undo::charge": order.undo})
    assert (await ended(chain)).status is WorkflowExecutionStatus.FAILED
    assert order.undone_steps == ["charge", "reserve"]


async def steps(worker: FakeSdk, receipt: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await worker.trigger("chain::get", {"receipt": receipt}))["steps"]
    return found
