"""Shapes of chains that undo, join, wait and are watched, to be recorded by `tests.replay.record`."""

from typing import Any

from temporalio.client import WorkflowHandle

from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Failing, Gate, succeed
from tests.support.running_bridge import RunningBridge, ended
from tests.support.waiting import eventually

__all__ = ["SAGA_SHAPES"]


async def _offer_saga(worker: FakeSdk, queue: str, last: Any) -> None:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::second", {"group": "g"}, queue)

    async def second(call: Delivered) -> None:
        await call.enqueue("a::last", {"group": "g"}, queue)

    await worker.register({"a::first": first, "a::second": second}, {"compensate": "a::undo"})
    await worker.register({"a::last": last, "a::undo": succeed})


async def chain_that_compensates(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await _offer_saga(worker, "once", Failing())
    return bridge.chain(await worker.enqueue("a::first", {}, "once"))


async def chain_that_compensates_what_a_lane_began(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    await _offer_saga(worker, "strict", Failing())
    receipt = await worker.enqueue("a::first", {"group": "g"}, "strict")
    await bridge.dead_letters("strict")
    return bridge.chain(receipt)


async def chain_that_drops_what_has_not_begun(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::absent", {}, "once")
        await call.trigger(
            "chain::wait_for_event", {"event": "go", "on_event": {"function_id": "a::undo", "queue": "once"}}
        )
        await call.enqueue("a::last", {}, "once")

    await worker.register({"a::first": first}, {"compensate": "a::undo"})
    await worker.register({"a::last": Failing(), "a::undo": succeed})
    return bridge.chain(await worker.enqueue("a::first", {}, "once"))


async def chain_that_is_cancelled_and_compensates(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    gate = Gate()
    await _offer_saga(worker, "once", gate)
    chain = bridge.chain(await worker.enqueue("a::first", {}, "once"))
    await eventually(lambda: gate.begun)
    await chain.cancel()
    gate.open()
    return chain


async def chain_whose_compensation_is_lost(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    await _offer_saga(worker, "once", Failing())
    await worker.register({"a::undo": Failing(1)})
    return bridge.chain(await worker.enqueue("a::first", {}, "once"))


async def chain_that_begins_again(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await _offer_saga(worker, "once", Failing(1))
    chain = bridge.chain(await worker.enqueue("a::first", {}, "once"))
    await ended(chain)
    await bridge.dead_letters("once")
    await worker.trigger("iii::queue::redrive", {"queue": "once"})
    return chain


async def dead_letter_of_a_compensated_chain(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    chain = await chain_that_begins_again(bridge, worker)
    await ended(chain)
    query = f"WorkflowType = 'iii.dead_letter' AND WorkflowId STARTS_WITH '{bridge.prefix}.'"

    async def letter() -> str | None:
        async for execution in bridge.client.list_workflows(query):
            return execution.id
        return None

    return bridge.client.get_workflow_handle(await eventually(letter))


async def chain_with_a_join(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    async def fork(call: Delivered) -> None:
        receipts = [await call.enqueue("a::branch", {"n": n}, "plain") for n in range(2)]
        join = {"receipts": receipts, "function_id": "a::joined", "queue": "plain"}
        await call.trigger("chain::join", join)

    await worker.offer(a__fork=fork, a__branch=succeed, a__joined=succeed)
    return bridge.chain(await worker.enqueue("a::fork", {}, "plain"))


async def chain_that_joins_other_chains(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    gate, asker = Gate(), await bridge.connect()
    await worker.offer(a__slow=gate, a__joined=succeed)
    receipts = [
        await asker.enqueue("a::slow", {}, "plain"),
        await asker.enqueue("a::slow", {"group": "g"}, "strict"),
    ]
    await eventually(lambda: len(gate.begun) == 2)
    join = {"receipts": receipts, "function_id": "a::joined", "queue": "plain"}
    joining = (await asker.trigger("chain::join", join))["receipt"]
    gate.open()
    return bridge.chain(joining)


async def chain_that_another_waits_for(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    gate, asker = Gate(), await bridge.connect()
    await worker.offer(a__slow=gate, a__joined=succeed)
    receipt = await asker.enqueue("a::slow", {}, "plain")
    await eventually(lambda: gate.begun)
    join = {"receipts": [receipt], "function_id": "a::joined", "queue": "plain"}
    joining = (await asker.trigger("chain::join", join))["receipt"]

    async def is_watched() -> bool:
        signals = [
            event.workflow_execution_signaled_event_attributes.signal_name
            for event in (await bridge.chain(receipt).fetch_history()).events
        ]
        return "iii.watch" in signals

    await eventually(is_watched)
    gate.open()
    await ended(bridge.chain(joining))
    return bridge.chain(receipt)


async def chain_that_waits_for_an_event(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__approved=succeed)
    wait = {"event": "go", "timeout_ms": 600_000}
    functions = {
        name: {"function_id": "a::approved", "queue": "plain"} for name in ("on_event", "on_timeout")
    }
    receipt = (await worker.trigger("chain::wait_for_event", wait | functions))["receipt"]
    await worker.trigger("chain::send_event", {"receipt": receipt, "event": "go"})
    return bridge.chain(receipt)


async def chain_with_a_delayed_turn(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__late=succeed)
    delay = {"function_id": "a::late", "queue": "strict", "payload": {"group": "g"}, "delay_ms": 10}
    return bridge.chain((await worker.trigger("chain::delay", delay))["messageReceiptId"])


async def chain_that_is_watched(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::second", {}, "plain")

    await worker.register({"a::first": first, "a::second": Failing(1), "a::events": succeed})
    trigger = {"type": "registertrigger", "id": "t-1", "trigger_type": "chain", "function_id": "a::events"}
    await worker.send(trigger | {"config": {}})
    await worker.settled()
    return bridge.chain(await worker.enqueue("a::first", {}, "plain"))


SAGA_SHAPES = [
    chain_that_is_watched,
    chain_that_compensates,
    chain_that_compensates_what_a_lane_began,
    chain_that_drops_what_has_not_begun,
    chain_that_is_cancelled_and_compensates,
    chain_whose_compensation_is_lost,
    chain_that_begins_again,
    dead_letter_of_a_compensated_chain,
    chain_with_a_join,
    chain_that_joins_other_chains,
    chain_that_another_waits_for,
    chain_that_waits_for_an_event,
    chain_with_a_delayed_turn,
]
