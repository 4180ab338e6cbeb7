"""Messages that are enqueued twice and sent once: `dedupe_field`."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Failing, Recording
from tests.support.running_bridge import RunningBridge, StartBridge, deliveries, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 3, "backoff_ms": 1},
        "distinct": {"dedupe_field": "id"},
        "others": {"dedupe_field": "id"},
        "brief": {"dedupe_field": "id", "dedupe_window_ms": 300},
        "lines": {"type": "fifo", "message_group_field": "g", "dedupe_field": "id", "backoff_ms": 1},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


async def test_a_duplicate_gets_the_receipt_of_the_first_and_is_not_sent(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    first = await worker.enqueue("job", {"id": "a", "n": 1}, "distinct")
    assert (await ended(bridge.chain(first))).status is WorkflowExecutionStatus.COMPLETED
    assert await worker.enqueue("job", {"id": "a", "n": 2}, "distinct") == first
    assert await worker.enqueue("job", {"id": "b", "n": 3}, "distinct") != first
    assert await worker.enqueue("job", {"id": "a", "n": 4}, "others") != first
    await bridge.eventually_handled(heard.payloads, 3)
    assert sorted(heard.of("n")) == [1, 3, 4]


async def test_of_many_at_once_on_two_bridges_one_is_sent(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    one, two = await start_bridge(queues), await start_bridge(queues)
    senders = [await one.connect(), await two.connect()]
    heard = Recording()
    await senders[0].offer(job=heard)
    receipts = await asyncio.gather(
        *(senders[n % 2].enqueue("job", {"id": 1, "n": n}, "distinct") for n in range(20))
    )
    (receipt,) = set(receipts)
    assert (await ended(one.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert len(heard.payloads) == 1


async def test_after_the_window_a_value_is_sent_again(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    first = await worker.enqueue("job", {"id": 1}, "brief")
    await ended(bridge.dedupe_marker("brief", "1"))
    assert await worker.enqueue("job", {"id": 1}, "brief") != first
    await bridge.eventually_handled(heard.payloads, 2)


@pytest.mark.parametrize("data", [{}, {"id": None}, [1], None])
async def test_a_message_without_the_field_is_refused(bridge: RunningBridge, data: Any) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed, match=r"'distinct'.*'id'") as failed:
        await worker.enqueue("job", data, "distinct")
    assert failed.value.code == "enqueue_error"


@pytest.mark.parametrize("queue", ["distinct", "lines"])
async def test_a_message_whose_bridge_was_lost_after_the_claim_arrives(
    start_bridge: StartBridge, queues: dict[str, Any], monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    first = await start_bridge(queues)
    sender = await first.connect()
    is_claimed = asyncio.Event()

    async def never_returns(*_: Any) -> None:
        is_claimed.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("bridge.temporal.enqueuer.TemporalEnqueuer._send_apart", never_returns)
    enqueueing = asyncio.ensure_future(sender.enqueue("job", {"id": 1, "g": 1, "n": 1}, queue))
    await is_claimed.wait()
    await first.stop()
    enqueueing.cancel()
    monkeypatch.undo()

    second = await start_bridge(queues)
    worker = await second.connect()
    heard = Recording()
    await worker.offer(job=heard)
    receipt = await worker.enqueue("job", {"id": 1, "g": 1, "n": 2}, queue)  # the caller tries again
    await second.eventually_handled(heard.payloads, 1)
    assert (await ended(second.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert heard.of("n") == [1]


async def test_messages_of_a_group_keep_their_order(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    for n in range(6):
        for _ in range(2):
            await sender.enqueue("job", {"g": 1, "id": n, "n": n}, "lines")
    await bridge.eventually_handled(heard.payloads, 6)
    assert heard.of("n") == list(range(6))


async def test_what_a_handler_enqueues_is_a_chain_of_its_own_and_retries_do_not_repeat_it(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    failing, heard = Failing(times=2), Recording()
    receipts: list[str] = []

    async def parent(call: Delivered) -> None:
        receipts.append(await call.enqueue("job", {"id": 1}, "distinct"))
        await failing(call)

    await worker.offer(parent=parent, job=heard)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await ended(bridge.chain(receipt))
    assert len(receipts) == 3
    (own,) = set(receipts)
    await ended(bridge.chain(own))
    assert deliveries(await events(bridge.chain(own))) == ["job"]
    assert [each.durable["chain_id"] for each in worker.delivered if each.function_id == "job"] == [receipt]


async def test_a_value_stays_taken_while_no_bridge_runs(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first = await start_bridge(queues)
    receipt = await (await first.connect()).enqueue("job", {"id": 1}, "distinct")
    await first.stop()
    second = await start_bridge(queues)
    worker = await second.connect()
    heard = Recording()
    await worker.offer(job=heard)
    assert await worker.enqueue("job", {"id": 1}, "distinct") == receipt
    await eventually(lambda: heard.payloads)
    assert (await ended(second.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert len(heard.payloads) == 1
