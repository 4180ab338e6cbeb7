"""A real Temporal dev server for tests, on free ports."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from temporalio.client import Client

from bridge.temporal.dev_server import DevServerSettings, run_dev_server, start_command
from tests.support.waiting import eventually


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def temporal_server(
    port: int | None = None,
    database: Path | None = None,
    *,
    ends_by: Literal["stop", "kill"] = "stop",
    namespaces: tuple[str, ...] = ("default",),
    options: Sequence[str] = (),
) -> AsyncIterator[str]:
    """Run a server and yield its address; one with options of its own is always killed."""
    settings = DevServerSettings(
        port=port or free_port(), ui_port=0, database=database, has_ui=False, namespaces=namespaces
    )
    if ends_by == "kill" or options:
        async with _killed_server(settings, options) as address:
            yield address
        return
    async with run_dev_server(settings) as server:
        await _answering(server.address)
        yield server.address


async def _answering(address: str) -> None:
    """Return when the server answers; it listens a moment before."""

    async def answers() -> bool:
        try:
            await Client.connect(address)
        except RuntimeError:
            return False
        return True

    await eventually(answers)


@asynccontextmanager
async def _killed_server(settings: DevServerSettings, options: Sequence[str]) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        *start_command(settings),
        *options,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    address = f"127.0.0.1:{settings.port}"
    try:
        await _answering(address)
        yield address
    finally:
        process.kill()
        await process.wait()
