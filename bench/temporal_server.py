"""A Temporal dev server for one benchmark, tuned like `iii-temporal dev`, in memory."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.temporal.dev_server import DevServerSettings, run_dev_server

__all__ = ["temporal_server"]


@asynccontextmanager
async def temporal_server() -> AsyncIterator[str]:
    """Run a server on a free port and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = DevServerSettings(port=port, ui_port=0, database=None, has_ui=False)
    async with run_dev_server(settings) as server:
        yield server.address
