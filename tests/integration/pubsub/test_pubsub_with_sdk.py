from typing import Any

import pytest

from tests.integration.stream.running_bridge import Bridge, received, sdk_worker, thread_safe_inbox

# The SDK points to triggers by observation, which this test is not about.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:iii", "ignore:register_trigger")


async def test_subscribers_get_each_message_of_their_topic_once_and_in_order(bridge: Bridge) -> None:
    async with sdk_worker(bridge) as publisher, sdk_worker(bridge) as subscriber:
        inbox, put = thread_safe_inbox()

        async def notify(message: Any) -> None:
            put(message)

        subscriber.register_function("notify", notify)
        subscriber.register_trigger(
            {"type": "subscribe", "function_id": "notify", "config": {"topic": "orders.shipped"}}
        )
        await bridge.until_bound("subscribe")
        for number in range(20):
            for topic in ("orders.cancelled", "orders.shipped"):
                answer = await publisher.trigger_async(
                    {"function_id": "publish", "payload": {"topic": topic, "data": {topic: number}}}
                )
                assert answer is None
        messages = await received(inbox, 20)
        assert [message["orders.shipped"] for message in messages] == list(range(20))
        assert inbox.empty()
