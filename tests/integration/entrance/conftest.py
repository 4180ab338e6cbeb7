"""A bridge with every listener, of which each demands what the test says."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.pki import Authority
from tests.support.running_bridge import RunningBridge, running_bridge, write_config
from tests.support.temporal_server import free_port

Start = Callable[..., Awaitable[RunningBridge]]


def config(entrance: dict[str, Any], workers: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return a configuration with every block that listens; it needs no Temporal."""
    listener = {"port": 0, **entrance}
    memory = {"adapter": {"name": "kv", "config": {"store_method": "in_memory"}}}
    temporal = {"address": f"127.0.0.1:{free_port()}", "drain_timeout_ms": 1000, "admin": listener}
    return {
        "workers": [
            {"name": "iii-temporal", "config": {**temporal, "prefix": f"t{uuid.uuid4().hex[:12]}"}},
            {"name": "iii-worker-manager", "config": {**listener, **workers}},
            {"name": "iii-http", "config": listener},
            {"name": "iii-stream", "config": {**listener, **memory}},
            {"name": "configuration", "config": {"adapter": {"config": {"directory": str(directory)}}}},
        ]
    }


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start bridges whose listeners all have these keys; those of `workers` are the worker port's alone."""
    async with AsyncExitStack() as exits:

        async def run(*, workers: dict[str, Any] | None = None, **entrance: Any) -> RunningBridge:
            path = write_config(tmp_path, config(entrance, workers or {}, tmp_path / "configuration"))
            return await exits.enter_async_context(running_bridge(path, None, "", awaits_temporal=False))

        yield run


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
