"""Dead letters and what operators do with them (spec 02 §6)."""

import time
from typing import Any
from urllib.parse import quote

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Failing, Gate, Recording
from tests.support.running_bridge import RunningBridge, deliveries, ended, events
from tests.support.waiting import eventually
from workflows.contract import Update

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "orders": {"max_retries": 2, "backoff_ms": 1, "concurrency": 4, "dlq": {"capacity": 10}},
        "lines": {"type": "fifo", "message_group_field": "g", "max_retries": 2, "backoff_ms": 1},
        "once": {"type": "fifo", "message_group_field": "g", "max_retries": 1},
        "quiet": {},
    }


async def test_a_dead_letter_tells_the_whole_story(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(fails=Failing(text="out of stock"))
    before_s = int(time.time())
    receipt = await worker.enqueue("fails", {"order": 1}, "orders")

    (letter,) = await bridge.dead_letters("orders")
    assert letter.pop("failed_at") >= before_s
    assert letter == {
        "id": receipt,
        "payload": {"order": 1},
        "error": "out of stock",
        "retries": 2,
        "size_bytes": len('{"order": 1}'),
    }
    (started, *_) = await events(bridge.dead_letter("orders", receipt))
    payloads = started.workflow_execution_started_event_attributes.input.payloads
    (kept, data) = await bridge.client.data_converter.decode(payloads)
    assert data == {"order": 1}
    assert kept["code"] == "invocation_failed"
    assert kept["stacktrace"] == "Traceback: in the handler"
    assert kept["workflow_id"] == bridge.chain(receipt).id
    assert kept["message"]["chain_id"] == receipt
    assert [(each["number"], each["error"]) for each in kept["attempts"]] == [
        (1, "out of stock"),
        (2, "out of stock"),
    ]


async def test_counts_and_lists_know_every_queue(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(fails=Failing())
    await worker.enqueue("fails", {}, "orders")
    await bridge.dead_letters("orders")

    def rows(**dead: int) -> list[dict[str, Any]]:
        names = ["default", "lines", "once", "orders", "quiet"]
        return [
            {"topic": name, "broker_type": "function_queue", "message_count": dead.get(name, 0)}
            for name in names
        ]

    counted = await worker.trigger("engine::queue::dlq_topics")
    assert sorted(counted, key=lambda row: row["topic"]) == rows(orders=1)
    topics = await worker.trigger("engine::queue::list_topics")
    assert {"name": "orders", "broker_type": "builtin", "subscriber_count": 4} in topics
    stats = await worker.trigger("engine::queue::topic_stats", {"topic": "orders"})
    assert stats == {"depth": 0, "consumer_count": 4, "dlq_depth": 1, "config": None}
    unknown = await worker.trigger("engine::queue::topic_stats", {"topic": "unheard-of"})
    assert unknown == {"depth": 0, "consumer_count": 0, "dlq_depth": 0, "config": None}


async def test_a_list_of_queues_tells_how_they_are_when_asked_to(bridge: RunningBridge) -> None:
    worker, gate = await bridge.connect(), Gate()
    await worker.offer(fails=Failing(), slow=gate)
    await worker.enqueue("fails", {}, "orders")
    await bridge.dead_letters("orders")
    await worker.enqueue("slow", {}, "orders")
    await eventually(lambda: gate.begun)

    async def row() -> dict[str, Any] | None:
        rows = await worker.trigger("engine::queue::list_topics", {"details": True})
        (found,) = [each for each in rows if each["name"] == "orders"]
        return found if found["dead_letters"] else None  # it is told for some seconds

    assert await eventually(row) == {
        "name": "orders",
        "broker_type": "builtin",
        "subscriber_count": 4,
        "depth": 0,
        "oldest_ms": 0,
        "in_flight": 1,
        "waiting_for_provider": 0,
        "dead_letters": 1,
        "dead_letter_capacity": 10,
        "dead_letter_threshold": 8,
    }
    gate.open()


async def test_lists_are_paged_newest_first(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(fails=Failing())
    receipts = []
    for n in range(3):
        receipts.append(await worker.enqueue("fails", {"n": n}, "orders"))
        await bridge.dead_letters("orders", n + 1)

    async def page(**query: Any) -> list[str]:
        letters = await worker.trigger("engine::queue::dlq_messages", query)
        return [letter["id"] for letter in letters]

    assert await page(topic="orders") == receipts[::-1]
    assert await page(queue="__fn_queue::orders", limit=2) == [receipts[2], receipts[1]]
    assert await page(topic="orders", offset=2, limit=2) == [receipts[0]]
    assert await page(topic="orders", offset=3) == []
    assert await page(topic="orders", limit=0) == []
    assert await page(topic="unheard-of") == []


async def test_a_redriven_message_gets_its_whole_budget_in_the_same_chain(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing = Failing(times=3)
    await worker.offer(fails=failing)
    receipt = await worker.enqueue("fails", {"n": 1}, "orders")
    await bridge.dead_letters("orders")
    first_run = (await ended(bridge.chain(receipt))).run_id

    answer = await worker.trigger("iii::queue::redrive", {"queue": "orders"})
    assert answer == {"queue": "orders", "redriven": 1}
    await bridge.has_no_dead_letters("orders")
    second = await ended(bridge.chain(receipt))
    assert second.status is WorkflowExecutionStatus.COMPLETED
    assert second.run_id != first_run
    assert failing.attempts == [1, 2, 1, 2]
    assert {call.durable["receipt"] for call in failing.calls} == {receipt}
    assert await bridge.dead_letter("orders", receipt).result() == "redriven"


async def test_a_message_can_die_and_be_redriven_again(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing = Failing(times=4)
    await worker.offer(fails=failing)
    receipt = await worker.enqueue("fails", {}, "orders")
    for redrives in range(2):
        await eventually(lambda: len(failing.calls) == 2 + 2 * redrives)  # noqa: B023 - awaited here

        async def redriven() -> bool:
            answer = await worker.trigger(
                "iii::queue::redrive_message", {"queue": "orders", "message_id": receipt}
            )
            return bool(answer["redriven"])

        await eventually(redriven)
    await eventually(lambda: len(failing.calls) == 5)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_a_redrive_asks_nothing_that_could_be_done_twice(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing = Failing(times=2)
    await worker.offer(fails=failing)
    receipt = await worker.enqueue("fails", {}, "orders")
    await bridge.dead_letters("orders")
    await ended(bridge.chain(receipt))
    letter = bridge.dead_letter("orders", receipt)
    assert await letter.execute_update(Update.REDRIVE, id="once", result_type=bool) is True
    await bridge.eventually_handled(failing.calls, 3)
    await ended(bridge.chain(receipt))

    assert await letter.execute_update(Update.REDRIVE, id="once", result_type=bool) is True
    # An activity whose success is not heard of is tried again, also after the redriven run has ended.
    kinds = [event.event_type for event in await events(letter)]
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED not in kinds
    assert kinds.count(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED) == 1
    assert failing.attempts == [1, 2, 1]


async def test_everything_about_a_dead_letter_is_told_when_asked_for(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(fails=Failing(text="x" * 600))
    receipt = await worker.enqueue("fails", {"g": "a"}, "lines", metadata={"who": "ada"})
    (plain,) = await bridge.dead_letters("lines")

    asked = {"topic": "lines", "message_id": receipt, "details": True}
    (letter,) = await worker.trigger("engine::queue::dlq_messages", asked)
    assert list(letter)[: len(plain)] == list(plain)
    assert len(plain["error"]) == 500
    assert letter["error"] == "x" * 600
    assert {key: letter[key] for key in ("code", "function_id", "namespace", "queue", "group")} == {
        "code": "invocation_failed",
        "function_id": "fails",
        "namespace": "default",
        "queue": "lines",
        "group": "a",
    }
    assert letter["stacktrace"] == "Traceback: in the handler"
    assert (letter["receipt"], letter["chain_id"], letter["redrives"]) == (receipt, receipt, 0)
    assert [attempt["number"] for attempt in letter["attempts"]] == [1, 2]
    assert letter["workflow_id"] == bridge.chain(receipt).id
    assert letter["dead_letter_id"] == bridge.dead_letter("lines", receipt).id
    page = f"/workflows/{quote(letter['workflow_id'], safe='')}/{letter['run_id']}/history"
    assert letter["web_url"].endswith(page)
    unknown = {"topic": "lines", "message_id": "unheard-of"}
    assert await worker.trigger("engine::queue::dlq_messages", unknown) == []


async def test_single_messages_are_redriven_and_discarded_by_receipt(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    failing = Failing(times=4)
    await worker.offer(fails=failing)
    kept, let_go = [await sender.enqueue("fails", {"n": n}, "orders") for n in range(2)]
    await bridge.dead_letters("orders", 2)

    async def decide(verb: str, message_id: str, **queue: str) -> Any:
        return await worker.trigger(
            f"iii::queue::{verb}_message", {**(queue or {"queue": "orders"}), "message_id": message_id}
        )

    def answer(message_id: str, count: int, queue: str = "orders") -> dict[str, Any]:
        return {"queue": queue, "message_id": message_id, "redriven": count}

    assert await decide("redrive", "unheard-of") == answer("unheard-of", 0)
    assert await decide("discard", "unheard-of") == answer("unheard-of", 0)
    assert await decide("discard", let_go) == answer(let_go, 1)
    assert await decide("discard", let_go) == answer(let_go, 0)
    assert await decide("redrive", let_go) == answer(let_go, 0)
    assert await decide("redrive", kept, topic="__fn_queue::orders") == answer(
        kept, 1, queue="__fn_queue::orders"
    )
    await bridge.has_no_dead_letters("orders")
    assert (await ended(bridge.chain(kept))).status is WorkflowExecutionStatus.COMPLETED
    assert await bridge.dead_letter("orders", let_go).result() == "discarded"
    assert [call.data["n"] for call in failing.calls].count(1) == 2


async def test_an_empty_queue_redrives_nothing(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    answer = await worker.trigger("iii::queue::redrive", {"topic": "unheard-of"})
    assert answer == {"queue": "unheard-of", "redriven": 0}


@pytest.mark.parametrize(
    ("function_id", "data", "code", "text"),
    [
        ("iii::queue::redrive", {"queue": ""}, "queue_not_set", "Queue name is required"),
        ("iii::queue::redrive", {}, "deserialization_error", "queue"),
        ("iii::queue::redrive", {"queue": "a", "topic": "a"}, "deserialization_error", "one of them"),
        ("iii::queue::redrive", {"queue": 7}, "deserialization_error", "str"),
        (
            "iii::queue::redrive_message",
            {"queue": "", "message_id": "m"},
            "queue_not_set",
            "Queue name is required",
        ),
        (
            "iii::queue::redrive_message",
            {"queue": "a", "message_id": ""},
            "message_id_not_set",
            "Message ID is required",
        ),
        ("iii::queue::discard_message", {"queue": "a"}, "deserialization_error", "message_id"),
        (
            "iii::queue::discard_message",
            {"queue": "", "message_id": "m"},
            "queue_not_set",
            "Queue name is required",
        ),
        (
            "iii::queue::discard_message",
            {"queue": "a", "message_id": ""},
            "message_id_not_set",
            "Message ID is required",
        ),
        ("iii::queue::discard", {"queue": ""}, "queue_not_set", "Queue name is required"),
        ("engine::queue::topic_stats", {"topic": ""}, "topic_required", "topic is required"),
        ("engine::queue::dlq_messages", {"topic": ""}, "topic_required", "topic is required"),
        ("engine::queue::dlq_messages", {"topic": "a", "offset": -1}, "deserialization_error", "offset"),
        ("engine::queue::dlq_messages", {"topic": "a", "limit": "x"}, "deserialization_error", "limit"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    bridge: RunningBridge, function_id: str, data: Any, code: str, text: str
) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed) as refused:
        await worker.trigger(function_id, data)
    assert refused.value.code == code
    assert text in refused.value.message


async def test_what_a_message_had_enqueued_is_not_enqueued_again_by_a_redrive(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing, children = Failing(times=2), Recording()
    receipts = []

    async def parent(call: Delivered) -> None:
        receipts.append(await call.enqueue("child", {"g": 1}, "lines"))
        receipts.append(await call.enqueue("child", {"n": 1}, "orders"))
        await failing(call)

    await worker.offer(parent=parent, child=children)
    receipt = await worker.enqueue("parent", {}, "orders")
    await bridge.dead_letters("orders")
    await ended(bridge.chain(receipt))  # or the redriven step would join the run that is still open
    await worker.trigger("iii::queue::redrive", {"queue": "orders"})
    await eventually(lambda: len(failing.calls) == 3)

    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert receipts[:2] == receipts[2:4] == receipts[4:]
    assert len(children.payloads) == 2
    assert deliveries(await events(bridge.chain(receipt))) == ["parent"]


@pytest.mark.parametrize("queue", ["lines", "once"])
async def test_a_redriven_message_of_a_lane_does_not_enqueue_again_either(
    bridge: RunningBridge, queue: str
) -> None:
    worker = await bridge.connect()
    attempts = {"lines": 2, "once": 1}[queue]
    failing, children = Failing(times=attempts), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("child", {"n": 1}, "orders")
        await failing(call)

    await worker.offer(parent=parent, child=children)
    receipt = await worker.enqueue("parent", {"g": 1}, queue)
    await bridge.dead_letters(queue)
    await ended(bridge.chain(receipt))
    await worker.trigger("iii::queue::redrive", {"queue": queue})
    await eventually(lambda: len(failing.calls) == attempts + 1)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert len(children.payloads) == 1


async def test_the_other_steps_of_a_chain_go_on_when_one_is_lost(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    gate = Gate()

    async def parent(call: Delivered) -> None:
        await call.enqueue("fails", {}, "orders")
        await call.enqueue("slow", {}, "orders")

    await worker.offer(parent=parent, fails=Failing(times=2), slow=gate)
    receipt = await worker.enqueue("parent", {}, "orders")
    await bridge.dead_letters("orders")
    await worker.trigger("iii::queue::redrive", {"queue": "orders"})  # into the chain that still runs
    await eventually(lambda: sum(call.function_id == "fails" for call in worker.delivered) == 3)
    gate.open()
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert await bridge.chain(receipt).result() == "3 steps completed"


async def test_a_group_is_redriven_in_its_order(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=Failing())
    for n in range(4):
        await worker.enqueue("job", {"g": "a", "n": n}, "lines")
        await bridge.dead_letters("lines", n + 1)
    await worker.offer(job=heard)
    answer = await worker.trigger("iii::queue::redrive", {"queue": "lines"})
    assert answer["redriven"] == 4
    await bridge.eventually_handled(heard.payloads, 4)
    assert heard.of("n") == [0, 1, 2, 3]


async def test_a_dead_letter_in_a_group_lets_the_next_message_go(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(fails=Failing(), works=heard)
    await worker.enqueue("fails", {"g": 1}, "lines")
    await worker.enqueue("works", {"g": 1}, "lines")
    await bridge.eventually_handled(heard.payloads, 1)
    await bridge.dead_letters("lines")
