"""Many dead letters redriven or discarded at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.settler import BulkSettler
from tests.support.fake_sdk import CallFailed, FakeSdk
from tests.support.handlers import Failing, Recording, numbered
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually
from workflows.contract import BulkReport, BulkStart, LetterFilter, Update

pytestmark = pytest.mark.integration

FOREVER_MS = 10**15


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "orders": {"max_retries": 1, "concurrency": 1},
        "lines": {"type": "fifo", "message_group_field": "g", "max_retries": 1},
    }


async def lose(bridge: RunningBridge, queue: str, *payloads: Any, function_id: str = "job") -> list[str]:
    """Have messages die in their order; returns their receipts."""
    worker = bridge.workers[0]
    receipts = []
    before = len(await worker.trigger("engine::queue::dlq_messages", {"queue": queue}))
    for number, payload in enumerate(payloads, start=1):
        receipts.append(await worker.enqueue(function_id, payload, queue))
        await bridge.dead_letters(queue, before + number)
    return receipts


async def ids(worker: FakeSdk, queue: str = "orders", **filters: Any) -> list[str]:
    letters = await worker.trigger("engine::queue::dlq_messages", {"queue": queue, **filters})
    return [letter["id"] for letter in letters]


async def finished(worker: FakeSdk, operation_id: str) -> dict[str, Any]:
    """Return a bulk operation once it has ended."""

    async def over() -> dict[str, Any] | None:
        found: dict[str, Any] = await worker.trigger("iii::queue::operation", {"operation_id": operation_id})
        return found if found["status"] != "running" else None

    return await eventually(over)


async def test_dead_letters_are_chosen_by_function_error_and_age(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing(text="card declined"), other=Failing(text="out of stock"))
    (declined,) = await lose(bridge, "orders", {})
    (sold_out,) = await lose(bridge, "orders", {}, function_id="other")

    assert await ids(worker, function_id="other") == [sold_out]
    assert await ids(worker, error="declined") == [declined]
    assert await ids(worker, error="declined", function_id="other") == []
    assert await ids(worker, newer_than_ms=FOREVER_MS) == [sold_out, declined]
    assert await ids(worker, older_than_ms=FOREVER_MS) == []

    answer = await worker.trigger("iii::queue::discard", {"queue": "orders", "error": "declined"})
    assert answer.pop("operation_id")
    assert answer.pop("began_at_ms")
    assert answer == {
        "queue": "orders",
        "discarded": 1,
        "matched": 1,
        "skipped": 0,
        "failed": 0,
        "errors": [],
        "status": "done",
    }
    await eventually(lambda: _is_left(worker, [sold_out]))
    assert await bridge.dead_letter("orders", declined).result() == "discarded"


async def test_a_dry_run_counts_and_touches_nothing(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "orders", *numbered(3))

    answer = await worker.trigger(
        "iii::queue::redrive", {"queue": "orders", "dry_run": True, "error": "boom", "limit": 2}
    )
    assert answer == {
        "queue": "orders",
        "redriven": 0,
        "matched": 2,
        "skipped": 2,
        "failed": 0,
        "errors": [],
        "dry_run": True,
    }
    assert await ids(worker) == receipts[::-1]


async def test_every_page_of_a_search_is_taken(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.temporal.letter_search._PAGE", 2)
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "orders", *numbered(5))

    assert await ids(worker, function_id="job") == receipts[::-1]
    would = await worker.trigger("iii::queue::discard", {"queue": "orders", "error": "boom", "dry_run": True})
    assert would["matched"] == 5
    assert await worker.trigger("iii::queue::discard", {"queue": "orders"}) == {
        "queue": "orders",
        "discarded": 5,
    }


async def test_a_limit_on_calls_only_makes_it_slower(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.temporal.settler._PAUSES_S", (0, 0))
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    await lose(bridge, "orders", *numbered(2))
    refusals = iter(range(3))

    async def refuse(_: str) -> None:
        if next(refusals, None) is not None:
            raise RPCError("too many calls", RPCStatusCode.RESOURCE_EXHAUSTED, b"")

    report = await settle(FlakyClient(bridge.client, refuse), bulk_of(bridge, "orders", Update.DISCARD))
    assert report == BulkReport(matched=2, done=2)


async def test_a_limit_takes_the_oldest(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "orders", *numbered(3))

    answer = await worker.trigger("iii::queue::discard", {"queue": "orders", "limit": 2})
    assert (answer["discarded"], answer["matched"]) == (2, 2)
    await eventually(lambda: _is_left(worker, receipts[2:]))


async def test_discarding_everything_answers_in_the_shape_of_a_redrive(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    await lose(bridge, "orders", *numbered(2))

    answer = await worker.trigger("iii::queue::discard", {"queue": "__fn_queue::orders"})
    assert answer == {"queue": "__fn_queue::orders", "discarded": 2}
    await bridge.has_no_dead_letters("orders")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"functionid": "job"}, "functionid"),
        ({"older_than_ms": -1}, "older_than_ms"),
        ({"rate_per_s": 0}, "rate_per_s"),
        ({"limit": 0}, "limit"),
        ({"dry_run": "yes"}, "dry_run"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_and_nothing_is_touched(
    bridge: RunningBridge, data: dict[str, Any], text: str
) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "orders", {})
    with pytest.raises(CallFailed) as refused:
        await worker.trigger("iii::queue::discard", {"queue": "orders", **data})
    assert refused.value.code == "deserialization_error"
    assert text in refused.value.message
    assert await ids(worker) == receipts


async def test_nobody_has_to_wait_for_the_end(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing = Failing(times=2)
    await worker.offer(job=failing)
    await lose(bridge, "orders", *numbered(2))

    begun = await worker.trigger("iii::queue::redrive", {"queue": "orders", "wait": False, "rate_per_s": 50})
    ended = await finished(worker, begun["operation_id"])
    assert ended["status"] == "done"
    assert (ended["redriven"], ended["matched"], ended["failed"]) == (2, 2, 0)
    await bridge.eventually_handled(failing.calls, 4)


async def test_an_operation_keeps_its_rate_and_ends_where_it_is_when_cancelled(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "orders", *numbered(3))

    slowly = {"queue": "orders", "wait": False, "rate_per_s": 0.001}
    begun = await worker.trigger("iii::queue::discard", slowly)
    await eventually(lambda: _is_left(worker, receipts[1:]))
    asked = {"operation_id": begun["operation_id"]}
    assert (await worker.trigger("iii::queue::operation", asked))["status"] == "running"

    assert await worker.trigger("iii::queue::cancel_operation", asked) == {**asked, "cancelled": 1}
    ended = await finished(worker, begun["operation_id"])
    assert ended["status"] == "cancelled"
    assert (ended["discarded"], ended["matched"], ended["skipped"], ended["failed"]) == (1, 3, 2, 0)
    assert sorted(await ids(worker)) == sorted(receipts[1:])
    assert await worker.trigger("iii::queue::cancel_operation", asked) == {**asked, "cancelled": 0}


async def test_an_operation_that_nobody_began_is_not_found(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed, match="operation_not_found"):
        await worker.trigger("iii::queue::operation", {"operation_id": "unheard-of"})


async def test_an_operation_outlives_the_bridge_that_ran_it(
    start_bridge: Any, queues: dict[str, Any]
) -> None:
    first = await start_bridge(queues)
    worker = await first.connect()
    await worker.offer(job=Failing())
    receipts = await lose(first, "orders", *numbered(3))
    slowly = {"queue": "orders", "wait": False, "rate_per_s": 1}
    begun = await worker.trigger("iii::queue::discard", slowly)
    await eventually(lambda: _is_left(worker, receipts[1:]))
    await first.stop()

    second = await start_bridge(queues)
    ended = await finished(await second.connect(), begun["operation_id"])
    assert (ended["status"], ended["discarded"], ended["matched"]) == ("done", 3, 3)


class FlakyClient:
    """A client that does something before each decision about a dead letter, such as to fail."""

    def __init__(self, client: Client, before: Callable[[str], Awaitable[None]]) -> None:
        self._client = client
        self._before = before

    @property
    def client(self) -> "FlakyClient":
        return self

    def list_workflows(self, *arguments: Any, **options: Any) -> Any:
        return self._client.list_workflows(*arguments, **options)

    def get_workflow_handle(self, workflow_id: str, **options: Any) -> Any:
        return FlakyHandle(self._client.get_workflow_handle(workflow_id, **options), self._before)


class FlakyHandle:
    def __init__(self, handle: WorkflowHandle[Any, Any], before: Callable[[str], Awaitable[None]]) -> None:
        self._handle = handle
        self._before = before

    async def execute_update(self, *arguments: Any, **options: Any) -> Any:
        await self._before(self._handle.id)
        return await self._handle.execute_update(*arguments, **options)


def bulk_of(bridge: RunningBridge, queue: str, decision: Update) -> BulkStart:
    return BulkStart(bridge.tenancy, LetterFilter((queue,)), decision, began_at_ms=2_000_000_000_000)


async def do_nothing(_: str) -> None:
    """Let every decision be made."""


async def settle(connection: Any, bulk: BulkStart, operation_id: str = "operation") -> BulkReport:
    return await BulkSettler(connection).settle(bulk, operation_id, tell=lambda _: None, stop=asyncio.Event())


async def test_what_was_settled_before_a_crash_counts_once(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "orders", *numbered(3))
    last = await bridge.dead_letter("orders", receipts[2]).describe()
    bulk = replace(
        bulk_of(bridge, "orders", Update.DISCARD), began_at_ms=int(last.start_time.timestamp() * 1000) + 1
    )

    async def crash(workflow_id: str) -> None:
        if receipts[2] in workflow_id:
            await eventually(lambda: _is_left(worker, receipts[2:]))
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    with pytest.raises(RPCError):
        await settle(FlakyClient(bridge.client, crash), bulk)
    assert await settle(FlakyClient(bridge.client, do_nothing), bulk) == BulkReport(matched=3, done=3)
    by_another = await settle(FlakyClient(bridge.client, do_nothing), bulk, "another operation")
    assert by_another == BulkReport(matched=3, skipped=3)


async def test_those_behind_a_failed_one_of_their_group_wait_and_every_other_goes(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=Failing())
    receipts = await lose(bridge, "lines", {"g": 1, "n": 0}, {"g": 1, "n": 1}, {"g": 2, "n": 2})
    await worker.offer(job=heard)

    async def break_the_first(workflow_id: str) -> None:
        if receipts[0] in workflow_id:
            raise RPCError("shard is lost", RPCStatusCode.INTERNAL, b"")

    report = await settle(
        FlakyClient(bridge.client, break_the_first), bulk_of(bridge, "lines", Update.REDRIVE)
    )
    assert report == BulkReport(
        matched=3, done=1, skipped=1, failed=1, errors=(f"{receipts[0]}: INTERNAL: shard is lost",)
    )
    await bridge.eventually_handled(heard.payloads, 1)
    assert heard.of("n") == [2]


async def _is_left(worker: FakeSdk, receipts: list[str]) -> bool:
    return await ids(worker) == receipts[::-1]
