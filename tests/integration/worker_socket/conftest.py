from collections.abc import AsyncIterator

import pytest

from tests.integration.worker_socket.live import Client, LiveBridge, live_bridge


@pytest.fixture
async def live() -> AsyncIterator[LiveBridge]:
    async with live_bridge() as bridge:
        yield bridge


@pytest.fixture
async def bystander(live: LiveBridge) -> AsyncIterator[Client]:
    """A worker that minds its own business; whatever others do, it must be served."""
    async with live.client() as client:
        await client.introduce(name="bystander")
        yield client
