"""What tests with a real Temporal share: one server per run, and bridges that cannot see each other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from bridge.settings import temporal_settings
from tests.support.running_bridge import (
    RunningBridge,
    StartBridge,
    bridge_config,
    new_prefix,
    running_bridge,
    write_config,
)
from tests.support.temporal_server import temporal_server
from workflows.contract import Pace


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--temporal", metavar="HOST:PORT", help="use this Temporal server instead of starting one"
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The one Temporal server of the run."""
    given = request.config.getoption("--temporal", default=None)
    if given:
        yield given
        return
    async with temporal_server() as address:
        yield address


@pytest.fixture
async def temporal(temporal_address: str) -> Client:
    """The test's own way to Temporal."""
    return await Client.connect(temporal_address)


@pytest.fixture
def prefix() -> str:
    """What begins every name of this test in Temporal."""
    return new_prefix()


@pytest.fixture
def pace() -> Pace:
    """How patient the workflows of this test are; modules override it."""
    return Pace()


@pytest.fixture
async def start_bridge(
    temporal: Client,
    temporal_address: str,
    prefix: str,
    pace: Pace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[StartBridge]:
    """Start bridges of one tenancy; they stop when the test ends, the newest first."""
    async with AsyncExitStack() as exits:

        async def start(
            queues: dict[str, Any] | None = None, *, pace: Pace = pace, **settings: Any
        ) -> RunningBridge:
            monkeypatch.setattr(
                "bridge.app.temporal_settings", lambda block: replace(temporal_settings(block), pace=pace)
            )
            path = write_config(tmp_path, bridge_config(temporal_address, prefix, queues or {}, **settings))
            return await exits.enter_async_context(running_bridge(path, temporal, prefix))

        yield start


@pytest.fixture
def queues() -> dict[str, Any]:
    """The named queues of `bridge`; modules override it."""
    return {}


@pytest.fixture
async def bridge(start_bridge: StartBridge, queues: dict[str, Any]) -> RunningBridge:
    """A bridge with the queues of the module."""
    return await start_bridge(queues)
