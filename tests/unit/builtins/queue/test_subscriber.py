"""What a trigger of a durable topic asks for (spec 02 §5.2)."""

from typing import Any

import pytest

from bridge.builtins.queue.subscriber import Demand, SubscriberDefaults, read_subscriber
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload

DEFAULTS = SubscriberDefaults()


def binding(config: Any, function_id: str = "notify") -> Binding:
    return Binding("t", "durable:subscriber", function_id, payload.encode(config))


def demand(defaults: SubscriberDefaults = DEFAULTS, **config: Any) -> Demand:
    found = read_subscriber(binding({"topic": "orders", **config}), defaults)
    assert found is not None
    return found


def tuned(**queue_config: Any) -> Demand:
    return demand(queue_config=queue_config)


def test_a_trigger_that_says_nothing_gets_the_defaults() -> None:
    found = demand()
    assert (found.topic, found.concurrency) == ("orders", 10)
    subscription = found.subscription
    assert (subscription.queue, subscription.function_id) == ("orders::notify", "notify")
    assert (subscription.group, subscription.delay_ms, subscription.condition_function_id) == (None, 0, None)
    rules = subscription.rules
    assert (rules.attempts, rules.backoff_ms, rules.backoff_type) == (3, 1000, "exponential")
    assert rules.timeout_ms == 1_800_000
    assert rules.provider_timeout_ms is None


def test_the_defaults_are_those_of_the_adapter() -> None:
    found = demand(SubscriberDefaults(attempts=5, backoff_ms=7, concurrency=2))
    assert (found.subscription.rules.attempts, found.subscription.rules.backoff_ms) == (5, 7)
    assert found.concurrency == 2
    fifo = SubscriberDefaults(is_fifo=True)
    assert demand(fifo).subscription.group is not None
    assert demand(fifo, queue_config={"type": "standard"}).subscription.group is None


def test_every_setting_counts() -> None:
    found = tuned(
        maxRetries=3,
        concurrency=4,
        backoffDelayMs=50,
        backoffType="linear",
        visibilityTimeout=30,
        delaySeconds=2,
    )
    rules = found.subscription.rules
    assert (rules.attempts, rules.backoff_ms, rules.backoff_type, rules.timeout_ms) == (
        4,
        50,
        "linear",
        30_000,
    )
    assert (found.concurrency, found.subscription.delay_ms) == (4, 2000)


def test_a_fifo_subscriber_has_one_group_and_one_slot() -> None:
    found = tuned(type="fifo", concurrency=0)
    assert found.subscription.group is not None
    assert found.concurrency == 1


@pytest.mark.parametrize(
    "queue_config",
    [
        {"maxRetries": "3"},
        {"maxRetries": -1},
        {"maxRetries": 10**30},
        {"concurrency": 2.5},
        {"concurrency": True},
        {"backoffDelayMs": None},
        {"backoffType": "sometimes"},
        {"visibilityTimeout": 0},
        {"delaySeconds": -1},
        {"type": {}},
        {"max_retries": 9, "backoff_ms": 9, "unknown": 9},
        [],
        "fifo",
        None,
    ],
)
def test_what_cannot_be_used_is_as_if_it_were_not_there(queue_config: Any) -> None:
    assert demand(queue_config=queue_config) == demand()


def test_one_wrong_setting_spoils_no_other() -> None:
    assert tuned(maxRetries="many", concurrency=2).concurrency == 2


def test_a_back_off_longer_than_usual_is_not_cut() -> None:
    rules = tuned(backoffDelayMs=7_200_000).subscription.rules
    assert rules.backoff_after_ms(1) == 7_200_000


@pytest.mark.parametrize("config", [{}, {"topic": ""}, {"topic": None}, {"topic": 5}, [], "orders", None])
def test_without_a_topic_nothing_is_subscribed(config: Any) -> None:
    assert read_subscriber(binding(config), DEFAULTS) is None


@pytest.mark.parametrize("key", ["condition_function_id", "_condition_path"])
def test_a_condition_is_found_under_both_names(key: str) -> None:
    assert demand(**{key: "is::big"}).subscription.condition_function_id == "is::big"


@pytest.mark.parametrize(
    ("config", "function_id"),
    [
        ({"topic": "x" * 1001}, "notify"),
        ({"topic": "orders"}, "x" * 1001),
        ({"topic": "orders", "condition_function_id": "x" * 1001}, "notify"),
    ],
)
def test_a_name_longer_than_temporal_takes_is_refused(config: Any, function_id: str) -> None:
    with pytest.raises(TriggerRejectedError, match="1001 characters"):
        read_subscriber(binding(config, function_id), DEFAULTS)
