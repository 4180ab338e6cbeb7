"""A worker's way to durable topics, and the test's view of them."""

import uuid
from typing import Any

from temporalio.service import RPCError, RPCStatusCode

from tests.support.fake_sdk import FakeSdk
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually
from workflows.names import subscriber_queue, topic_id

TOPIC = "order.created"


class Subscriber:
    """A connected worker that subscribes and publishes."""

    def __init__(self, sdk: FakeSdk, namespace: str | None = None) -> None:
        self.sdk = sdk
        self._namespace = namespace

    async def subscribe(
        self, function_id: str, topic: str = TOPIC, *, kind: str = "durable:subscriber", **config: Any
    ) -> str:
        """Register a trigger; returns its id when the bridge has it."""
        trigger_id = str(uuid.uuid4())
        frame = {
            "type": "registertrigger",
            "id": trigger_id,
            "trigger_type": kind,
            "function_id": function_id,
            "config": {"topic": topic, **config},
        }
        if self._namespace is not None:
            frame["namespace"] = self._namespace
        await self.sdk.send(frame)
        await self.sdk.settled()
        return trigger_id

    async def unsubscribe(self, trigger_id: str) -> None:
        """Unregister a trigger; returns when the bridge knows."""
        await self.sdk.send({"type": "unregistertrigger", "id": trigger_id})
        await self.sdk.settled()

    async def publish(self, data: Any, topic: str = TOPIC, **extra: Any) -> Any:
        return await self.sdk.trigger("iii::durable::publish", {"topic": topic, "data": data}, **extra)


async def triggers_in_temporal(bridge: RunningBridge, topic: str = TOPIC) -> dict[str, int]:
    """Return how many triggers each function of a topic has, according to its memo."""
    try:
        description = await bridge.client.get_workflow_handle(topic_id(bridge.tenancy, topic)).describe()
    except RPCError as exc:
        if exc.status is not RPCStatusCode.NOT_FOUND:
            raise
        return {}
    memo: Any = await description.memo()
    return {each["subscription"]["function_id"]: each["triggers"] for each in memo.get("subscribers", [])}


async def becomes_known(bridge: RunningBridge, triggers: dict[str, int], topic: str = TOPIC) -> None:
    """Return as soon as Temporal knows of so many triggers."""

    async def is_known() -> bool:
        return await triggers_in_temporal(bridge, topic) == triggers

    await eventually(is_known)


def queue_of(function_id: str, topic: str = TOPIC) -> str:
    return subscriber_queue(topic, function_id, "default")
