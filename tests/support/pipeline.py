"""An order pipeline of real processes: Temporal, the bridge, and the example's worker on one SDK version."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import yaml
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.client import Client, WorkflowHandle

from bridge.cli.client import connected
from bridge.protocol import payload
from tests.support.pipeline_processes import BridgeProcess, Process, TemporalProcess, WorkerProcess, free_port
from tests.support.waiting import PATIENCE_S

__all__ = ["PREFIX", "Pipeline", "Step", "eventually", "order_config", "running_pipeline"]

PREFIX = "shop"
CONFIG = Path(__file__).resolve().parents[2] / "iii-config.yaml"
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One activity of a workflow, as Temporal's history has it.

    Attributes:
        attempts: How often it was started.
        is_completed: Whether its last attempt succeeded.
    """

    function_id: str
    scheduled: ActivityTaskScheduledEventAttributes
    attempts: int
    is_completed: bool


@dataclass
class Pipeline:
    """The running processes and what a test asks of them."""

    temporal: TemporalProcess
    bridge: BridgeProcess
    worker: WorkerProcess
    http: httpx.AsyncClient

    async def post(self, **order: Any) -> dict[str, Any]:
        response = await self.http.post("/orders", json=order)
        assert response.status_code == 202, response.text
        accepted: dict[str, Any] = response.json()
        return accepted

    async def order(self, order_id: str) -> dict[str, Any]:
        response = await self.http.get(f"/orders/{order_id}")
        assert response.status_code == 200, response.text
        order: dict[str, Any] = response.json()
        return order

    async def until_status(self, order_id: str, status: str) -> dict[str, Any]:
        """Wait until an order has a status, while any process may be away."""

        async def look() -> dict[str, Any]:
            try:
                return await self.order(order_id)
            except (httpx.HTTPError, AssertionError) as exc:
                return {"status": f"unknown: {exc!r}"}

        return await eventually(look, lambda order: order["status"] == status)

    async def trigger(self, function_id: str, **data: Any) -> Any:
        """Call a function as an operator does."""
        async with connected(self.bridge.addresses["workers"], name="test") as bridge:
            return msgspec.json.decode(await bridge.call(function_id, payload.encode(data)))

    async def dead_letters(self, queue: str) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = await self.trigger("engine::queue::dlq_messages", topic=queue)
        return letters

    async def chain_status(self, receipt: str) -> str:
        """Return the state of the workflow that a receipt began, in Temporal's word for it."""
        description = await (await self._chain(receipt)).describe()
        return description.status.name if description.status else "UNKNOWN"

    async def _chain(self, receipt: str) -> WorkflowHandle[Any, Any]:
        client = await Client.connect(self.temporal.address)
        return client.get_workflow_handle(f"{PREFIX}.chain/{receipt}")

    async def steps(self, receipt: str) -> list[Step]:
        """Return the users' functions in a chain, in the order in which they were scheduled."""
        history = await (await self._chain(receipt)).fetch_history()
        starts: dict[int, int] = {}
        completed: set[int] = set()
        for event in history.events:
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = event.activity_task_started_event_attributes
                starts[started.scheduled_event_id] = started.attempt
            elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed.add(event.activity_task_completed_event_attributes.scheduled_event_id)
        scheduled = [
            (event.event_id, event.activity_task_scheduled_event_attributes)
            for event in history.events
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        ]
        return [
            Step(each.activity_type.name, each, starts.get(event_id, 0), event_id in completed)
            for event_id, each in scheduled
            if not each.activity_type.name.startswith("iii.")
        ]


async def eventually(
    look: Callable[[], Awaitable[T]], condition: Callable[[T], bool], limit_s: float = 60
) -> T:
    """Look until something holds that no event tells about, and return what was seen."""
    seen = "nothing"
    try:
        async with asyncio.timeout(limit_s):
            while not condition(found := await look()):
                seen = repr(found)
                await asyncio.sleep(0.05)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {limit_s} s; last seen: {seen}") from None


def order_config(*, backoff_ms: int) -> dict[str, Any]:
    """Return the repository's configuration, with ports of our own, on every queue the same first wait."""
    file = yaml.safe_load(CONFIG.read_text())
    blocks: dict[str, Any] = {entry["name"]: entry.get("config", {}) for entry in file["workers"]}
    blocks["iii-temporal"] = {"prefix": PREFIX, "admin": {"port": free_port()}}
    for listener in ("iii-worker-manager", "iii-http", "iii-stream"):
        blocks[listener]["port"] = free_port()
    for queue in blocks["iii-queue"]["queue_configs"].values():
        queue["backoff_ms"] = backoff_ms
    return blocks


@asynccontextmanager
async def running_pipeline(
    directory: Path, runtime: str, version: str, *, backoff_ms: int
) -> AsyncIterator[Pipeline]:
    """Run the whole pipeline in a directory of its own."""
    temporal = TemporalProcess(directory)
    bridge = BridgeProcess(directory, temporal.address, order_config(backoff_ms=backoff_ms))
    processes: list[Process] = [temporal, bridge]
    try:
        temporal.start()
        bridge.start()
        worker = WorkerProcess(runtime, version, directory, bridge.addresses["workers"])
        processes.append(worker)
        worker.start()
        async with httpx.AsyncClient(
            base_url=bridge.addresses["http"], trust_env=False, timeout=PATIENCE_S
        ) as http:
            yield Pipeline(temporal, bridge, worker, http)
    finally:
        for process in reversed(processes):
            process.kill()
