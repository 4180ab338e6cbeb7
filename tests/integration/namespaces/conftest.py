"""What tests of several namespaces of Temporal share: a server that has two, and a bridge that uses both."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle

from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Recording
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config
from tests.support.temporal_server import temporal_server
from workflows.names import chain_id

TEAM = "team-orders"
"""The namespace of Temporal for `orders` and `refunds` of iii."""


class RecordingCalls(Recording):
    """Notes whole calls beside their payloads."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Delivered] = []

    async def __call__(self, call: Delivered) -> None:
        await super().__call__(call)
        self.calls.append(call)


@dataclass
class TwoNamespaces:
    """A bridge whose iii namespaces `orders` and `refunds` are kept in a namespace of Temporal of their own.

    Attributes:
        team: The test's own way to that one.
        here: A worker of iii's namespace `default`.
        orders: A worker of iii's namespace `orders`.
    """

    bridge: RunningBridge
    team: Client
    here: FakeSdk
    orders: FakeSdk

    def chain(self, receipt: str) -> WorkflowHandle[Any, Any]:
        """Return a chain of the team's namespace."""
        return self.team.get_workflow_handle(chain_id(self.bridge.tenancy, receipt))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def two_namespaces_address() -> AsyncIterator[str]:
    """A Temporal server with the namespaces `default` and that of the team."""
    async with temporal_server(namespaces=("default", TEAM)) as address:
        yield address


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 2, "backoff_ms": 10, "concurrency": 4},
        "fragile": {"max_retries": 1, "backoff_ms": 10},
        "lines": {"type": "fifo", "message_group_field": "group", "max_retries": 2, "backoff_ms": 10},
    }


@pytest.fixture
def more() -> dict[str, Any]:
    """Further keys of `iii-temporal`; tests override it."""
    return {}


@pytest.fixture
async def two(
    two_namespaces_address: str, prefix: str, queues: dict[str, Any], more: dict[str, Any], tmp_path: Path
) -> AsyncIterator[TwoNamespaces]:
    """A bridge with a worker in each."""
    mapped = [{"namespace": TEAM, "iii": ["orders", "refunds"]}]
    config = bridge_config(two_namespaces_address, prefix, queues, namespaces=mapped, **more)
    config["workers"].append({"name": "iii-cron"})
    async with AsyncExitStack() as exits:
        client = await Client.connect(two_namespaces_address)
        bridge = await exits.enter_async_context(
            running_bridge(write_config(tmp_path, config), client, prefix)
        )
        team = await Client.connect(two_namespaces_address, namespace=TEAM)
        yield TwoNamespaces(bridge, team, await bridge.connect(), await bridge.connect("orders"))
