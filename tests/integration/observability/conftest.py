import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.integration.observability.collector import Collector
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config

QUEUES: dict[str, Any] = {
    "validate": {"backoff_ms": 1, "dlq": {"capacity": 10}},
    "payment": {"type": "fifo", "message_group_field": "order_id", "backoff_ms": 1},
}


@pytest.fixture
def blocks() -> list[dict[str, Any]]:
    """Blocks besides those of every bridge; modules override it."""
    return []


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield collector


@pytest.fixture
async def bridge(
    temporal: Client, temporal_address: str, prefix: str, tmp_path: Path, blocks: list[dict[str, Any]]
) -> AsyncIterator[RunningBridge]:
    """A bridge with two queues, HTTP, and the blocks of the module."""
    config = bridge_config(temporal_address, prefix, QUEUES)
    config["workers"] += [{"name": "iii-http", "config": {"port": 0}}, *blocks]
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        yield bridge
