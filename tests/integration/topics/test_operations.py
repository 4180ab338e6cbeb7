"""What operators see of topics and do with their dead letters (spec 02 §6.2)."""

from typing import Any

import httpx
import pytest

from tests.integration.topics.subscriber import TOPIC, Subscriber, becomes_known, queue_of
from tests.support.handlers import Failing, Gate, Recording, numbered
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Temporal says of queues is told again for some seconds otherwise."""
    monkeypatch.setattr("bridge.temporal.shared_look._FRESH_S", 0)


@pytest.fixture
async def failing(bridge: RunningBridge, subscriber: Subscriber) -> Failing:
    """Two subscribers that fail at their only attempt, and two dead letters of each."""
    failing = Failing(times=4)
    await subscriber.sdk.offer(one=failing, two=failing)
    for function_id in ("one", "two"):
        await subscriber.subscribe(function_id, queue_config={"maxRetries": 0})
    for message in numbered(2):
        await subscriber.publish(message)
    await bridge.dead_letters(TOPIC, 4)
    return failing


async def listed(subscriber: Subscriber, function_id: str, key: str) -> dict[str, Any]:
    rows = await subscriber.sdk.trigger(f"engine::queue::{function_id}", {})
    return {row[key]: row for row in rows}


async def test_a_topic_is_listed_with_its_triggers_while_it_is_subscribed_to(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    trigger_ids = [await subscriber.subscribe(each) for each in ("one", "two", "two")]

    async def row() -> dict[str, Any] | None:
        found = (await listed(subscriber, "list_topics", "name")).get(TOPIC)
        return found if found and found["subscriber_count"] == 3 else None

    assert await eventually(row) == {"name": TOPIC, "broker_type": "builtin", "subscriber_count": 3}
    stats = await subscriber.sdk.trigger("engine::queue::topic_stats", {"topic": TOPIC})
    assert stats == {"depth": 0, "consumer_count": 3, "dlq_depth": 0, "config": None}

    for trigger_id in trigger_ids:
        await subscriber.unsubscribe(trigger_id)
    await becomes_known(bridge, {})

    async def is_gone() -> bool:
        return TOPIC not in await listed(subscriber, "list_topics", "name")

    await eventually(is_gone)


async def test_the_backlog_of_a_topic_is_counted(subscriber: Subscriber) -> None:
    gate = Gate()
    await subscriber.sdk.offer(slow=gate)
    await subscriber.subscribe("slow", queue_config={"concurrency": 1})
    for message in numbered(4):
        await subscriber.publish(message)

    async def depth() -> bool:
        stats = await subscriber.sdk.trigger("engine::queue::topic_stats", {"topic": TOPIC})
        return int(stats["depth"]) >= 2  # Temporal counts again after 5 s only

    await eventually(depth)
    (row,) = [
        each
        for each in await subscriber.sdk.trigger("engine::queue::list_topics", {"details": True})
        if each["name"] == TOPIC
    ]
    assert row["depth"] >= 2
    assert (row["in_flight"], row["dead_letters"]) == (1, 0)
    gate.open()


@pytest.mark.usefixtures("failing")
async def test_dead_letters_of_all_subscribers_are_found_under_the_topic(subscriber: Subscriber) -> None:
    letters = await subscriber.sdk.trigger("engine::queue::dlq_messages", {"topic": TOPIC})
    assert sorted(letter["payload"]["n"] for letter in letters) == [0, 0, 1, 1]
    assert letters == sorted(letters, key=lambda letter: letter["failed_at"], reverse=True)
    own = await subscriber.sdk.trigger("engine::queue::dlq_messages", {"topic": queue_of("one")})
    assert len(own) == 2
    rows = await listed(subscriber, "dlq_topics", "topic")
    assert rows[TOPIC] == {"topic": TOPIC, "broker_type": "builtin", "message_count": 4}
    assert rows["jobs"]["broker_type"] == "function_queue"
    stats = await subscriber.sdk.trigger("engine::queue::topic_stats", {"topic": TOPIC})
    assert (stats["dlq_depth"], stats["consumer_count"]) == (4, 2)


async def test_a_redrive_of_a_topic_sends_every_copy_again_to_its_own_subscriber(
    bridge: RunningBridge, subscriber: Subscriber, failing: Failing
) -> None:
    answer = await subscriber.sdk.trigger("iii::queue::redrive", {"topic": TOPIC})
    assert answer == {"queue": TOPIC, "redriven": 4}
    await eventually(lambda: len(failing.calls) == 8)
    functions = [call.function_id for call in failing.calls[4:]]
    assert sorted(functions) == ["one", "one", "two", "two"]
    await bridge.has_no_dead_letters(TOPIC)


@pytest.mark.usefixtures("failing")
async def test_one_dead_letter_of_a_topic_is_redriven_or_discarded(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    letters = await bridge.dead_letters(TOPIC, 4)
    for letter, verb in zip(letters, ("redrive", "discard", "redrive", "discard"), strict=True):
        query = {"queue": TOPIC, "message_id": letter["id"]}
        answer = await subscriber.sdk.trigger(f"iii::queue::{verb}_message", query)
        assert answer == {**query, "redriven": 1}
    await bridge.has_no_dead_letters(TOPIC)


@pytest.mark.usefixtures("failing")
async def test_dead_letters_of_an_absent_subscriber_are_within_reach(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    subscriber.sdk.drop()
    await becomes_known(bridge, {"one": 0, "two": 0})
    operator = await bridge.connect()
    letters = await operator.trigger("engine::queue::dlq_messages", {"topic": TOPIC})
    assert len(letters) == 4
    assert await operator.trigger("iii::queue::discard", {"topic": TOPIC}) == {
        "queue": TOPIC,
        "discarded": 4,
    }


async def test_a_topic_with_the_name_of_a_queue_is_the_queue(subscriber: Subscriber) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    await subscriber.subscribe("heard", topic="jobs")
    await subscriber.publish({}, topic="jobs")
    await eventually(lambda: heard.payloads)
    rows = await subscriber.sdk.trigger("engine::queue::list_topics", {})
    assert [row for row in rows if row["name"] == "jobs"] == [
        {"name": "jobs", "broker_type": "builtin", "subscriber_count": 10}
    ]


@pytest.mark.usefixtures("failing")
async def test_the_queues_of_subscribers_show_in_the_metrics(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    queue = queue_of("one")

    async def lines() -> list[str] | None:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            text = (await client.get(f"{bridge.addresses.admin}/metrics")).text
        return text.splitlines() if f'iii_queue_dead_letters{{queue="{queue}"}} 2.0' in text else None

    assert f'iii_queue_depth{{queue="{queue}"}} 0.0' in await eventually(lines)
    await subscriber.publish({})
    assert f'iii_queue_messages_total{{queue="{queue}",result="accepted"}} 1.0' in await eventually(lines)
