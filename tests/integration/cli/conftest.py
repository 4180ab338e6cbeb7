"""A bridge without Temporal, and the command line as its client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from bridge.cli import main
from tests.integration.stream.running_bridge import Bridge, running_bridge

Trigger = Callable[..., Awaitable[Result]]


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    # The bridge's own log lines would go where the command's output is looked for.
    with capture_logs():
        async with running_bridge(tmp_path) as bridge:
            yield bridge


@pytest.fixture
def trigger(bridge: Bridge) -> Trigger:
    """Run `iii-temporal trigger` against the bridge."""
    port = bridge.worker_url.rpartition(":")[2]

    async def run(*arguments: str) -> Result:
        command = ["trigger", "--address", "127.0.0.1", "--port", port, *arguments]
        return await asyncio.to_thread(CliRunner().invoke, main, command)

    return run
