"""A real Temporal dev server for tests, on free ports."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.temporal.dev_server import DevServerSettings, run_dev_server


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def temporal_server(port: int | None = None, database: Path | None = None) -> AsyncIterator[str]:
    """Run a server and yield its address."""
    settings = DevServerSettings(port=port or free_port(), ui_port=0, database=database, has_ui=False)
    async with run_dev_server(settings) as server:
        yield server.address
