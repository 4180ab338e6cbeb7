"""The shapes of a durable topic's history."""

from typing import Any

from temporalio.client import WorkflowHandle

from tests.integration.topics.subscriber import TOPIC, Subscriber, becomes_known
from tests.support.fake_sdk import FakeSdk
from tests.support.running_bridge import RunningBridge
from workflows.contract import Departure, RetryRules, Signal, SubscribeRequest, Subscription, Update
from workflows.names import topic_id

__all__ = ["TOPIC_SHAPES"]

_SHORT_MS = 300
_CONTINUING = 6


def _topic(bridge: RunningBridge) -> WorkflowHandle[Any, Any]:
    return bridge.client.get_workflow_handle(topic_id(bridge.tenancy, TOPIC))


async def topic_that_is_left(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    """Two triggers of one function, then none."""
    subscriber = Subscriber(worker)
    first = await subscriber.subscribe("a::one")
    await becomes_known(bridge, {"a::one": 1})
    second = await subscriber.subscribe("a::one")
    await becomes_known(bridge, {"a::one": 2})
    await subscriber.unsubscribe(first)
    await becomes_known(bridge, {"a::one": 1})
    await subscriber.unsubscribe(second)
    return _topic(bridge)


async def topic_whose_subscribers_are_given_up(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    """A worker that left, a bridge that was lost, and one that was lost before a trigger was unregistered."""
    subscriber = Subscriber(worker)
    trigger_id = await subscriber.subscribe("a::one")
    await becomes_known(bridge, {"a::one": 1})
    topic = _topic(bridge)
    for function_id, holder in (("a::two", "lost"), ("a::three", "left"), ("a::four", "lost")):
        await topic.execute_update(Update.SUBSCRIBE, _request(function_id, holder))
    await topic.execute_update(Update.SUBSCRIBE, _request("a::four", "living"))
    await topic.execute_update(Update.UNSUBSCRIBE, Departure("a::four", "living"))
    await topic.signal(Signal.RELEASE, Departure("a::three", "left"))
    await becomes_known(bridge, {"a::one": 1})
    await subscriber.unsubscribe(trigger_id)
    return topic


async def topic_that_continues_as_new(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    """More changes than one run takes; returns the first run."""
    subscriber = Subscriber(worker)
    first = await subscriber.subscribe("a::0")
    await becomes_known(bridge, {"a::0": 1})
    run_id = (await _topic(bridge).describe()).run_id
    for n in range(1, _CONTINUING):
        await subscriber.subscribe(f"a::{n}")
        await becomes_known(bridge, {f"a::{each}": 1 for each in range(n + 1)})
    await subscriber.unsubscribe(first)
    await becomes_known(bridge, {f"a::{each}": 1 for each in range(1, _CONTINUING)})
    return bridge.client.get_workflow_handle(topic_id(bridge.tenancy, TOPIC), run_id=run_id)


def _request(function_id: str, holder: str) -> SubscribeRequest:
    subscription = Subscription(function_id, function_id, RetryRules())
    return SubscribeRequest(subscription, holder, triggers=1, lease_ms=_SHORT_MS, keep_ms=_SHORT_MS)


TOPIC_SHAPES = [topic_that_is_left, topic_whose_subscribers_are_given_up, topic_that_continues_as_new]
