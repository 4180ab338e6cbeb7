"""What tests of durable topics share."""

from typing import Any

import pytest

from tests.integration.topics.subscriber import Subscriber
from tests.support.running_bridge import RunningBridge


@pytest.fixture
def queues() -> dict[str, Any]:
    """Named queues beside the topics."""
    return {"jobs": {"max_retries": 3, "backoff_ms": 1}}


@pytest.fixture
async def subscriber(bridge: RunningBridge) -> Subscriber:
    """A worker of `bridge`."""
    return Subscriber(await bridge.connect())
