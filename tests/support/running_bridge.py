"""A whole bridge in this process, on ports of its own and under a prefix of its own."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle

from bridge.app import Addresses, Bridge
from bridge.config import load_config
from tests.support.fake_sdk import FakeSdk, connected
from tests.support.waiting import PATIENCE_S, eventually
from workflows.contract import Activity, Tenancy
from workflows.names import chain_id, dead_letter_id, dedupe_id, lane_id


def new_prefix() -> str:
    """Return a prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


def bridge_config(address: str, prefix: str, queues: dict[str, Any], **temporal: Any) -> dict[str, Any]:
    """Return a configuration with the worker socket on a free port."""
    return {
        "workers": [
            {
                "name": "iii-temporal",
                "config": {
                    "address": address,
                    "prefix": prefix,
                    "admin": {"port": 0},
                    "heartbeat_timeout_ms": 3000,
                    "drain_timeout_ms": 1000,
                    **temporal,
                },
            },
            {"name": "iii-worker-manager", "config": {"port": 0}},
            {"name": "iii-queue", "config": {"queue_configs": queues}},
        ]
    }


def write_config(directory: Path, config: dict[str, Any]) -> Path:
    """Write a configuration; JSON is YAML."""
    path = directory / f"{uuid.uuid4().hex}.yaml"
    path.write_text(json.dumps(config))
    return path


@dataclass
class RunningBridge:
    """A bridge that runs until the test ends, and the test's own view of Temporal."""

    bridge: Bridge
    addresses: Addresses
    connected_client: Client | None
    prefix: str
    task: asyncio.Task[None]
    exits: AsyncExitStack
    workers: list[FakeSdk] = field(default_factory=list)

    @property
    def client(self) -> Client:
        assert self.connected_client is not None, "this bridge began without Temporal"
        return self.connected_client

    @property
    def tenancy(self) -> Tenancy:
        return Tenancy(self.prefix)

    async def connect(self, namespace: str | None = None) -> FakeSdk:
        """Connect another worker; it leaves when the test ends."""
        worker = await self.exits.enter_async_context(connected(self.addresses.workers[0], namespace))
        self.workers.append(worker)
        return worker

    async def stop(self) -> None:
        """Stop the bridge as SIGTERM does; a second time does nothing."""
        self.bridge.stop()
        await self.task

    def chain(self, receipt: str) -> WorkflowHandle[Any, str]:
        return self.client.get_workflow_handle(chain_id(self.tenancy, receipt))

    def lane(self, queue: str, group: str) -> WorkflowHandle[Any, None]:
        return self.client.get_workflow_handle(lane_id(self.tenancy, queue, group))

    def dead_letter(self, queue: str, receipt: str) -> WorkflowHandle[Any, str]:
        return self.client.get_workflow_handle(dead_letter_id(self.tenancy, queue, receipt))

    def dedupe_marker(self, queue: str, value: str) -> WorkflowHandle[Any, None]:
        return self.client.get_workflow_handle(dedupe_id(self.tenancy, queue, value))

    async def dead_letters(self, queue: str, count: int = 1) -> list[dict[str, Any]]:
        """Return a queue's dead letters as soon as there are so many."""
        worker = self.workers[0]

        async def listed() -> list[dict[str, Any]] | None:
            found = await worker.trigger("engine::queue::dlq_messages", {"topic": queue})
            return found if len(found) == count else None

        return await eventually(listed)

    async def eventually_handled(self, calls: Sequence[Any], count: int) -> None:
        """Return as soon as handlers have noted so many calls."""
        await eventually(lambda: len(calls) >= count)

    async def has_no_dead_letters(self, queue: str) -> None:
        """Return as soon as visibility shows no dead letter of a queue."""

        async def none() -> bool:
            return not await self.workers[0].trigger("engine::queue::dlq_messages", {"topic": queue})

        await eventually(none)


@asynccontextmanager
async def running_bridge(
    path: Path, client: Client | None, prefix: str, *, awaits_temporal: bool = True
) -> AsyncIterator[RunningBridge]:
    """Run a bridge from a file; every worker it connected leaves first."""
    load = partial(load_config, path, environ={})
    bridge = Bridge(load(), load)
    task = asyncio.create_task(bridge.run(), name="bridge")
    started = bridge.ready if awaits_temporal else bridge.listening
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        async with AsyncExitStack() as exits:
            yield RunningBridge(bridge, started.result(), client, prefix, task, exits)
    finally:
        bridge.stop()
        await task


async def events(handle: WorkflowHandle[Any, Any]) -> list[HistoryEvent]:
    """Return a workflow's history."""
    return list((await handle.fetch_history()).events)


def deliveries(history: list[HistoryEvent]) -> list[str]:
    """Return the functions that a history delivered to, in order: its activities but for our own."""
    names = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return [name for name in names if name not in set(Activity)]


async def ended(handle: WorkflowHandle[Any, Any], timeout_s: float = 15) -> WorkflowExecutionDescription:
    """Return a workflow's description once it has closed."""

    async def closed() -> WorkflowExecutionDescription | None:
        found = await handle.describe()
        return found if found.close_time else None

    return await eventually(closed, timeout_s)


StartBridge = Callable[..., Awaitable[RunningBridge]]
