"""The trigger type `temporal`: functions run when other people's workflows close (docs/interop.md)."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.support.fake_sdk import FakeSdk
from tests.support.handlers import Recording
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

Serve = Callable[[], Awaitable[RunningBridge]]
Run = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve(
    temporal: Client, temporal_address: str, prefix: str, foreign_queue: str, tmp_path: Path
) -> AsyncIterator[Serve]:
    """Start bridges, one after the other, that keep their state in the same place."""
    rules = {"workflows": [{"workflow": "Order*", "task_queue": foreign_queue}]}
    config = bridge_config(temporal_address, prefix, {"jobs": {}}, interop=rules)
    adapter = {"name": "kv", "config": {"store_method": "file_based", "file_path": str(tmp_path / "state")}}
    config["workers"].append({"name": "iii-state", "config": {"adapter": adapter}})
    path = write_config(tmp_path, config)
    async with AsyncExitStack() as exits:

        async def start() -> RunningBridge:
            return await exits.enter_async_context(running_bridge(path, temporal, prefix))

        yield start


@pytest.fixture
def run(temporal: Client, foreign_queue: str) -> Run:
    """Run a workflow to its end and return its id."""

    async def ended(order: dict[str, Any] | None = None) -> str:
        name = f"order-{uuid.uuid4()}"
        handle = await temporal.start_workflow("OrderWorkflow", order, id=name, task_queue=foreign_queue)
        async for _ in handle.fetch_history_events(wait_new_event=True):
            """Until the last event."""
        return name

    return ended


async def subscribe(worker: FakeSdk, recording: Recording, **config: Any) -> None:
    """Register the trigger; return when it is in force: closes count from the moment that is kept."""
    await worker.offer(told=recording)
    await worker.send(
        {
            "type": "registertrigger",
            "id": "closes",
            "trigger_type": "temporal",
            "function_id": "told",
            "config": {"workflow": "Order*", "queue": "jobs", **config},
        }
    )
    await worker.settled()


async def first_told(run: Run, recording: Recording) -> None:
    """Run workflows until the function is told of one: then the subscription is known to be in force."""

    async def is_told() -> bool:
        await run()
        return bool(recording.payloads)

    await eventually(is_told)


async def test_a_close_runs_the_function_once(serve: Serve, run: Run) -> None:
    bridge = await serve()
    worker = await bridge.connect()
    recording = Recording()
    await subscribe(worker, recording)
    await first_told(run, recording)
    name = await run()
    await eventually(lambda: name in recording.of("workflow_id"))
    last = await run()
    await eventually(lambda: last in recording.of("workflow_id"))
    told = [each for each in recording.payloads if each["workflow_id"] == name]
    assert [(each["status"], each["workflow"]) for each in told] == [("completed", "OrderWorkflow")]


async def test_closes_while_no_bridge_runs_are_told_by_the_next_one_and_no_close_twice(
    serve: Serve, run: Run
) -> None:
    first = await serve()
    recording = Recording()
    await subscribe(await first.connect(), recording)
    await first_told(run, recording)
    await first.stop()
    missed = await run()
    second = await serve()
    await subscribe(await second.connect(), recording)
    await eventually(lambda: missed in recording.of("workflow_id"))
    last = await run()
    await eventually(lambda: last in recording.of("workflow_id"))
    ids = recording.of("run_id")
    assert len(ids) == len(set(ids))


async def test_a_status_narrows_what_is_told(serve: Serve, run: Run) -> None:
    bridge = await serve()
    recording = Recording()
    await subscribe(await bridge.connect(), recording, status="failed")

    async def is_told() -> bool:
        await run()
        await run({"fail": "X"})
        return bool(recording.payloads)

    await eventually(is_told)
    assert set(recording.of("status")) == {"failed"}
