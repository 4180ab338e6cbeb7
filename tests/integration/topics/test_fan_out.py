"""Every subscribed function gets one copy of each message (spec 02 §5.1, §5.3, §5.5, §9)."""

from typing import Any

import pytest

from tests.integration.topics.subscriber import Subscriber, queue_of
from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Failing, Recording, numbered
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

IMPORTANT = {"category": "important"}
SPAM = {"category": "spam"}


async def is_important(call: Delivered) -> bool:
    return bool(call.data["category"] == "important")


async def test_every_function_gets_exactly_one_copy(subscriber: Subscriber) -> None:
    one, two = Recording(), Recording()
    await subscriber.sdk.offer(one=one, two=two)
    for function_id in ("one", "two", "two"):
        await subscriber.subscribe(function_id)
    message = {"id": 1, "lines": [{"sku": "a", "n": 2}], "note": None, "price": 1.50}
    for _ in range(5):
        assert await subscriber.publish(message) is None
    await eventually(lambda: len(one.payloads) == len(two.payloads) == 5)
    assert one.payloads == two.payloads == [message] * 5


async def test_functions_of_one_id_in_two_namespaces_are_two_subscribers(bridge: RunningBridge) -> None:
    here, there, wanted = Recording(), Recording(), Recording()
    publisher = await bridge.connect()
    await publisher.offer(notify=here)
    worker = await bridge.connect("orders")

    async def is_wanted(call: Delivered) -> bool:
        await wanted(call)
        return True

    await worker.offer(notify=there, is_wanted=is_wanted)
    await Subscriber(worker, "orders").subscribe("notify", condition_function_id="is_wanted")
    await Subscriber(publisher).publish({"n": 1})
    await eventually(lambda: there.payloads)
    assert (here.payloads, wanted.payloads) == ([], [{"n": 1}])

    await Subscriber(publisher).subscribe("notify")
    await Subscriber(publisher).publish({"n": 2})
    await eventually(lambda: len(there.payloads) == 2 and here.payloads == [{"n": 2}])


async def test_an_unregistered_trigger_gets_no_more_copies(subscriber: Subscriber) -> None:
    one, two = Recording(), Recording()
    await subscriber.sdk.offer(one=one, two=two)
    await subscriber.subscribe("one")
    trigger_id = await subscriber.subscribe("two")
    await subscriber.publish({"n": 1})
    await subscriber.unsubscribe(trigger_id)
    await subscriber.publish({"n": 2})
    await eventually(lambda: len(one.payloads) == 2 and two.payloads)
    assert two.payloads == [{"n": 1}]


async def test_a_condition_chooses_for_its_own_subscriber_only(subscriber: Subscriber) -> None:
    plain, choosy = Recording(), Recording()
    await subscriber.sdk.offer(plain=plain, choosy=choosy, is_important=is_important)
    await subscriber.subscribe("plain")
    await subscriber.subscribe("choosy", condition_function_id="is_important")
    for message in (SPAM, IMPORTANT, SPAM):
        await subscriber.publish(message)
    await eventually(lambda: len(plain.payloads) == 3 and choosy.payloads)
    assert choosy.payloads == [IMPORTANT]


async def test_only_false_skips(subscriber: Subscriber) -> None:
    heard = Recording()

    async def condition(call: Delivered) -> Any:
        return call.data["answer"]

    await subscriber.sdk.offer(heard=heard, condition=condition)
    await subscriber.subscribe("heard", condition_function_id="condition")
    for answer in (0, False, "", None, {}, "false"):
        await subscriber.publish({"answer": answer})
    await eventually(lambda: len(heard.payloads) == 5)
    assert not [answer for answer in heard.of("answer") if answer is False]


async def test_a_condition_that_fails_is_a_failed_attempt_and_is_asked_again(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    heard, condition = Recording(), Failing(1, text="no database")
    await subscriber.sdk.offer(heard=heard, condition=condition)
    config = {"maxRetries": 1, "backoffDelayMs": 1}
    await subscriber.subscribe("heard", condition_function_id="condition", queue_config=config)
    await subscriber.publish({"n": 1})
    await eventually(lambda: heard.payloads)
    assert len(condition.calls) == 2

    condition.times = None
    await subscriber.publish({"n": 2})
    (letter,) = await bridge.dead_letters(queue_of("heard"))
    assert letter["error"] == "Condition function error: no database"
    assert letter["retries"] == 2
    assert heard.payloads == [{"n": 1}]


async def test_a_condition_that_nobody_offers_uses_up_attempts(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    config = {"maxRetries": 0}
    await subscriber.subscribe("heard", condition_function_id="absent", queue_config=config)
    await subscriber.publish({})
    (letter,) = await bridge.dead_letters(queue_of("heard"))
    assert letter["error"].startswith("Condition function error: ")
    assert heard.payloads == []


async def test_the_older_names_serve_as_well(subscriber: Subscriber) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard, is_important=is_important)
    await subscriber.subscribe("heard", kind="queue", _condition_path="is_important")
    for message in (SPAM, IMPORTANT):
        answer = await subscriber.sdk.trigger("enqueue", {"topic": "order.created", "data": message})
        assert answer is None
    await eventually(lambda: heard.payloads)
    assert heard.payloads == [IMPORTANT]


async def test_a_publish_needs_no_answer(subscriber: Subscriber) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    await subscriber.subscribe("heard")
    await subscriber.sdk.send(
        {
            "type": "invokefunction",
            "function_id": "iii::durable::publish",
            "data": {"topic": "order.created", "data": None, "extra": 1},
            "action": {"type": "void"},
        }
    )
    await eventually(lambda: heard.payloads)
    assert heard.payloads == [None]


async def test_an_unusable_publish_is_refused(subscriber: Subscriber) -> None:
    async def refusal(request: Any) -> CallFailed:
        with pytest.raises(CallFailed) as refused:
            await subscriber.sdk.trigger("iii::durable::publish", request)
        return refused.value

    empty = await refusal({"topic": "", "data": 1})
    assert (empty.code, empty.message) == ("topic_not_set", "Topic is not set")
    for request in ({"data": 1}, {"topic": "t"}, {"topic": 5, "data": 1}, []):
        unreadable = await refusal(request)
        assert unreadable.code == "deserialization_error"
        assert unreadable.message.startswith("Failed to deserialize input for iii::durable::publish:")


async def test_a_message_too_large_for_temporal_reaches_nobody_and_the_publisher_is_told(
    subscriber: Subscriber,
) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    await subscriber.subscribe("heard")
    with pytest.raises(CallFailed, match=r"1 of 1 subscribers of .* got no copy") as refused:
        await subscriber.publish("x" * 2_000_000)
    assert refused.value.code == "enqueue_error"
    await subscriber.publish("small")
    await eventually(lambda: heard.payloads == ["small"])


async def test_a_publish_of_a_handler_belongs_to_its_chain_and_is_not_repeated_by_a_retry(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    heard = Recording()
    failing = Failing(1)

    async def work(call: Delivered) -> None:
        for message in numbered(2):
            await call.trigger("iii::durable::publish", {"topic": "order.created", "data": message})
        await failing(call)

    await subscriber.sdk.offer(one=heard, two=heard, work=work)
    await subscriber.subscribe("one")
    await subscriber.subscribe("two")
    receipt = await subscriber.sdk.enqueue("work", {}, "jobs")
    assert await bridge.chain(receipt).result() == "5 steps completed"
    assert sorted(heard.of("n")) == [0, 0, 1, 1]
    copies = [call for call in subscriber.sdk.delivered if call.function_id in ("one", "two")]
    assert {call.durable["chain_id"] for call in copies} == {receipt}
    assert len({call.durable["receipt"] for call in copies}) == 4
