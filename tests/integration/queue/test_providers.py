"""A message whose function nobody offers waits, durably and for nothing (design: retries and time)."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import Delivered
from tests.support.handlers import Failing, Recording, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, deliveries, ended, events
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


@pytest.fixture
def pace() -> Pace:
    """Timers too long to help: only the bridge's word wakes what waits."""
    return Pace(provider_check_ms=HOUR_MS, longest_check_ms=HOUR_MS)


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 2, "backoff_ms": 1, "concurrency": 1},
        "lines": {"type": "fifo", "message_group_field": "g", "max_retries": 2, "backoff_ms": 1},
        "limited": {"provider_timeout_ms": 300},
    }


async def waits(bridge: RunningBridge, function_id: str, count: int = 1) -> list[str]:
    """Return the workflows that show to be waiting for a function, as soon as there are so many."""
    query = f"IiiWaiting = '{function_id}' AND WorkflowId STARTS_WITH '{bridge.prefix}.'"

    async def found() -> list[str] | None:
        ids = [each.id async for each in bridge.client.list_workflows(query)]
        return ids if len(ids) == count else None

    return await eventually(found)


async def test_a_message_waits_for_a_provider_and_goes_on_with_all_its_attempts(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    receipt = await worker.enqueue("later", {}, "jobs")
    assert await waits(bridge, "later") == [bridge.chain(receipt).id]

    failing = Failing(times=1)
    await worker.offer(later=failing)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert failing.attempts == [1, 2]
    assert not [
        each
        async for each in bridge.client.list_workflows(
            f"IiiWaiting IS NOT NULL AND WorkflowId STARTS_WITH '{bridge.prefix}.'"
        )
    ]


async def test_what_waits_does_not_hold_up_its_queue(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(works=succeed)
    for _ in range(3):
        await worker.enqueue("absent", {}, "jobs")
    receipt = await worker.enqueue("works", {}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_an_offer_wakes_only_what_waits_for_it(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipts = [await worker.enqueue(f"f::{n}", {}, "jobs") for n in (1, 2)]
    await waits(bridge, "f::1")
    await waits(bridge, "f::2")
    await worker.offer(f__1=succeed)
    await ended(bridge.chain(receipts[0]))
    assert await waits(bridge, "f::2") == [bridge.chain(receipts[1]).id]
    assert deliveries(await events(bridge.chain(receipts[1]))) == ["f::2"]


async def test_a_storm_of_offers_wakes_what_waits(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipt = await worker.enqueue("f::170", {}, "jobs")
    await waits(bridge, "f::170")
    await worker.register({f"f::{n}": succeed for n in range(300)})
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_an_id_that_no_database_takes_is_waited_for_and_disturbs_nobody(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipts = [await worker.enqueue(each, {}, "jobs") for each in ("a\0b", "later")]
    await waits(bridge, "a\N{REPLACEMENT CHARACTER}b")
    await waits(bridge, "later")
    await worker.register({"a\0b": succeed, "later": succeed})
    for receipt in receipts:
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_every_waiting_message_is_woken_though_one_has_gone(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipts = [await worker.enqueue("later", {}, "jobs") for _ in range(3)]
    await waits(bridge, "later", 3)
    await bridge.chain(receipts[1]).terminate()
    heard = Recording()
    await worker.offer(later=heard)  # visibility may still show the terminated one
    await bridge.eventually_handled(heard.payloads, 2)
    for receipt in (receipts[0], receipts[2]):
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_an_attempt_that_failed_counts_though_the_provider_then_left(bridge: RunningBridge) -> None:
    worker, other = await bridge.connect(), await bridge.connect()
    calls: list[Delivered] = []

    async def leaves(call: Delivered) -> None:
        calls.append(call)
        await other.withdraw("job")
        raise RuntimeError("and gone")

    await other.offer(job=leaves)
    receipt = await worker.enqueue("job", {}, "jobs")
    await waits(bridge, "job")
    failing = Failing()
    await worker.offer(job=failing)
    (letter,) = await bridge.dead_letters("jobs")
    assert (letter["id"], letter["retries"]) == (receipt, 2)
    assert [call.durable["attempt"] for call in calls] == [1]
    assert failing.attempts == [2]


async def test_a_message_that_nobody_takes_in_time_is_dead_lettered(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipt = await worker.enqueue("absent", {"n": 1}, "limited")
    (letter,) = await bridge.dead_letters("limited")
    assert letter["id"] == receipt
    assert letter["retries"] == 0
    assert letter["error"] == "Nobody offered absent within 300 ms"


async def test_a_message_of_a_lane_waits_in_its_place(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(present=heard)
    first = await worker.enqueue("absent", {"g": 1, "n": 1}, "lines")
    await worker.enqueue("present", {"g": 1, "n": 2}, "lines")
    await worker.enqueue("present", {"g": 2, "n": 3}, "lines")
    assert await waits(bridge, "absent") == [bridge.chain(first).id]
    await bridge.eventually_handled(heard.payloads, 1)
    assert heard.of("n") == [3]
    await worker.offer(absent=heard)
    await bridge.eventually_handled(heard.payloads, 3)
    assert heard.of("n") == [3, 1, 2]


async def test_a_waiting_message_outlives_its_bridge(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first = await start_bridge(queues)
    receipt = await (await first.connect()).enqueue("later", {}, "jobs")
    await waits(first, "later")
    await first.stop()

    second = await start_bridge(queues)
    failing = Failing(times=0)
    await (await second.connect()).offer(later=failing)
    assert (await ended(second.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert failing.attempts == [1]


async def test_without_search_attributes_the_messages_own_timer_wakes_it(
    start_bridge: StartBridge, queues: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def may_not(_: Any) -> bool:
        return False

    quick = Pace(provider_check_ms=50)
    monkeypatch.setattr("bridge.temporal.service.ensure_search_attributes", may_not)
    bridge = await start_bridge(queues, pace=quick)
    worker = await bridge.connect()
    failing = Failing(times=2)
    receipt = await worker.enqueue("later", {}, "jobs")

    async def has_waited() -> bool:
        kinds = [event.event_type for event in await events(bridge.chain(receipt))]
        return EventType.EVENT_TYPE_TIMER_STARTED in kinds

    await eventually(has_waited)
    await worker.offer(later=failing)
    (letter,) = await bridge.dead_letters("jobs")
    assert letter["id"] == receipt
    assert await worker.trigger("iii::queue::redrive", {"queue": "jobs"}) == {"queue": "jobs", "redriven": 1}
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    heard = Recording()
    await worker.offer(line=heard)
    for n in range(2):
        await worker.enqueue("line", {"g": 1, "n": n}, "lines")
    await bridge.eventually_handled(heard.payloads, 2)
