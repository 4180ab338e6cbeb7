from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bridge.builtins.pubsub import PubSub
from bridge.engine.calls import Call
from bridge.errors import FunctionFailedError, StorageError
from bridge.protocol.payload import ABSENT
from bridge.storage import LocalBroker, Subscriber
from tests.unit.builtins.broken_broker import BrokenBroker
from tests.unit.builtins.state.engine_harness import NO_RESULT, EngineHarness


class CountingBroker(LocalBroker):
    """A broker that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        self.asked.append(f"subscribe {topic}")
        super().subscribe(topic, subscriber)

    def unsubscribe(self, topic: str) -> None:
        self.asked.append(f"unsubscribe {topic}")
        super().unsubscribe(topic)

    async def publish(self, topic: str, message: bytes) -> None:
        self.asked.append(f"publish {topic} {message.decode()}")
        await super().publish(topic, message)


@pytest.fixture
async def harness() -> AsyncIterator[EngineHarness]:
    """An engine that serves pub/sub."""
    harness = EngineHarness()
    PubSub(LocalBroker()).register(harness.engine)
    yield harness
    await harness.aclose()


class SilentBroker(CountingBroker):
    """A broker whose server does not answer."""

    async def settle(self) -> None:
        raise StorageError("no answer")


async def test_another_broker_takes_over_all_subscriptions_and_the_one_before_is_closed() -> None:
    harness, before, after = EngineHarness(), CountingBroker(), CountingBroker()
    pubsub = PubSub(before)
    pubsub.register(harness.engine)
    received = harness.recorder("notify")
    harness.bind("subscribe", "notify", {"topic": "orders"})
    await pubsub.apply(after)
    harness.bind("subscribe", "notify", {"topic": "more"})
    await publish(harness, "orders", 1)
    await publish(harness, "more", 2)
    assert received == [1, 2]
    assert before.asked == ["subscribe orders", "unsubscribe orders"]
    with pytest.raises(StorageError, match="closed"):
        await before.publish("orders", b"3")
    await pubsub.close()
    with pytest.raises(StorageError, match="closed"):
        await after.publish("orders", b"3")


async def test_a_broker_that_does_not_answer_takes_nothing_over() -> None:
    harness, before = EngineHarness(), CountingBroker()
    pubsub = PubSub(before)
    pubsub.register(harness.engine)
    received = harness.recorder("notify")
    harness.bind("subscribe", "notify", {"topic": "orders"})
    with pytest.raises(StorageError, match="no answer"):
        await pubsub.apply(SilentBroker())
    await publish(harness, "orders", 1)
    assert received == [1]


async def publish(harness: EngineHarness, topic: str, data: Any) -> None:
    assert await harness.call("publish", {"topic": topic, "data": data}) is NO_RESULT
    await harness.settle()


async def test_a_subscriber_gets_the_data_itself_once(harness: EngineHarness) -> None:
    received = harness.recorder("notify")
    harness.bind("subscribe", "notify", {"topic": "orders.shipped"})
    await publish(harness, "orders.shipped", {"order": "o-17"})
    await publish(harness, "orders.shipped", None)
    assert received == [{"order": "o-17"}, None]


async def test_topics_match_exactly(harness: EngineHarness) -> None:
    received = harness.recorder("notify")
    for topic in ("orders", "orders.*", "*", "Orders.shipped"):
        harness.bind("subscribe", "notify", {"topic": topic})
    await publish(harness, "orders.shipped", 1)
    assert received == []


async def test_two_subscriptions_of_one_function_are_two_deliveries(harness: EngineHarness) -> None:
    received = harness.recorder("notify")
    harness.bind("subscribe", "notify", {"topic": "t"})
    harness.bind("subscribe", "notify", {"topic": "t"})
    await publish(harness, "t", 1)
    assert received == [1, 1]


async def test_unsubscribing_leaves_the_other_subscriptions_of_the_topic(harness: EngineHarness) -> None:
    left, stayed = harness.recorder("left"), harness.recorder("stayed")
    trigger_id = harness.bind("subscribe", "left", {"topic": "t"})
    harness.bind("subscribe", "stayed", {"topic": "t"})
    harness.engine.triggers.unbind(trigger_id)
    await publish(harness, "t", 1)
    assert (left, stayed) == ([], [1])


async def test_binding_the_same_id_again_moves_the_subscription(harness: EngineHarness) -> None:
    received = harness.recorder("notify")
    harness.bind("subscribe", "notify", {"topic": "old"}, trigger_id="t-1")
    harness.bind("subscribe", "notify", {"topic": "new"}, trigger_id="t-1")
    await publish(harness, "old", 1)
    await publish(harness, "new", 2)
    assert received == [2]


async def test_publishing_to_nobody_is_fine(harness: EngineHarness) -> None:
    await publish(harness, "nobody", {"a": 1})


async def test_an_empty_topic_is_refused_and_reaches_no_broker() -> None:
    harness, broker = EngineHarness(), CountingBroker()
    PubSub(broker).register(harness.engine)
    with pytest.raises(FunctionFailedError) as caught:
        await harness.call("publish", {"topic": "", "data": 1})
    assert caught.value.failure_code == "topic_not_set"
    await publish(harness, "t", 1)
    assert broker.asked == ["publish t 1"]


@pytest.mark.parametrize("data", [{"data": 1}, {"topic": "t"}, {"topic": 1, "data": 1}, None])
async def test_bad_input_is_refused(harness: EngineHarness, data: Any) -> None:
    with pytest.raises(FunctionFailedError) as caught:
        await harness.call("publish", data)
    assert caught.value.failure_code == "deserialization_error"


@pytest.mark.parametrize("config", [{}, {"topic": ""}, {"topic": None}, {"topic": 5}, None, "t"])
async def test_a_subscription_without_a_topic_is_accepted_and_never_fires(config: Any) -> None:
    harness, broker = EngineHarness(), CountingBroker()
    PubSub(broker).register(harness.engine)
    received = harness.recorder("notify")
    trigger_id = harness.bind("subscribe", "notify", config)
    await publish(harness, "t", 1)
    harness.engine.triggers.unbind(trigger_id)
    assert (received, broker.asked) == ([], ["publish t 1"])


async def test_a_failing_or_missing_subscriber_harms_nobody(harness: EngineHarness) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("boom")

    harness.offer("broken", fail)
    received = harness.recorder("notify")
    for function_id in ("broken", "missing", "notify"):
        harness.bind("subscribe", function_id, {"topic": "t"})
    await publish(harness, "t", 1)
    assert received == [1]


async def test_the_function_is_looked_up_in_the_namespace_of_the_trigger(harness: EngineHarness) -> None:
    default, shop = harness.recorder("notify"), harness.recorder("notify", namespace="shop")
    harness.bind("subscribe", "notify", {"topic": "t"}, namespace="shop")
    await publish(harness, "t", 1)
    assert (default, shop) == ([], [1])


async def test_neither_condition_nor_metadata_of_the_trigger_counts(harness: EngineHarness) -> None:
    delivered: list[Call] = []

    async def notify(call: Call) -> msgspec.Raw:
        delivered.append(call)
        return ABSENT

    harness.engine.add_builtin("notify", notify, owner_name="test")
    harness.offer("never", lambda _: False)
    harness.bind(
        "subscribe", "notify", {"topic": "t", "condition_function_id": "never"}, metadata={"team": "ops"}
    )
    await publish(harness, "t", 1)
    assert [call.metadata for call in delivered] == [ABSENT]


async def test_a_message_that_cannot_be_sent_is_no_error_of_the_publisher() -> None:
    harness = EngineHarness()
    PubSub(BrokenBroker()).register(harness.engine)
    await publish(harness, "t", 1)


async def test_the_broker_is_asked_for_a_topic_once_and_let_go_with_the_last_subscription() -> None:
    harness, broker = EngineHarness(), CountingBroker()
    PubSub(broker).register(harness.engine)
    harness.offer("notify", lambda _: None)
    first, second = (harness.bind("subscribe", "notify", {"topic": "t"}) for _ in range(2))
    assert broker.asked == ["subscribe t"]
    harness.engine.triggers.unbind(first)
    assert broker.asked == ["subscribe t"]
    harness.engine.triggers.unbind(second)
    assert broker.asked == ["subscribe t", "unsubscribe t"]
