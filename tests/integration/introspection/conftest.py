"""A bridge with all of iii's workers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.support.fake_sdk import FakeSdk
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config


@pytest.fixture
async def bridge(
    temporal: Client, temporal_address: str, prefix: str, tmp_path: Path
) -> AsyncIterator[RunningBridge]:
    config = bridge_config(temporal_address, prefix, {})
    config["workers"] += [
        {"name": "iii-http", "config": {"port": 0}},
        {"name": "iii-stream", "config": {"port": 0}},
        *({"name": name} for name in ("iii-state", "iii-pubsub", "iii-cron")),
    ]
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        yield bridge


@pytest.fixture
async def worker(bridge: RunningBridge) -> FakeSdk:
    return await bridge.connect()
