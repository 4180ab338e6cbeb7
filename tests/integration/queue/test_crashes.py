"""The end of a bridge, a worker or Temporal itself, and what is left of the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.bridge_process import bridge_process
from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk, connected
from tests.support.handlers import Gate, Recording, succeed
from tests.support.running_bridge import (
    bridge_config,
    ended,
    new_prefix,
    running_bridge,
    write_config,
)
from tests.support.temporal_server import free_port, temporal_server
from tests.support.waiting import PATIENCE_S, eventually
from workflows.contract import Tenancy
from workflows.names import chain_id

pytestmark = pytest.mark.integration

QUEUES: dict[str, Any] = {"jobs": {"max_retries": 3, "backoff_ms": 1}}


class Pipeline:
    """Three steps; the middle one hangs the first time."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.middle = Gate()
        self.has_hung = False

    async def register(self, worker: FakeSdk) -> None:
        await worker.register({"first": self.first, "second": self.second, "third": self.third})

    async def first(self, call: Delivered) -> None:
        await call.enqueue("second", {}, "jobs")
        self.done.append("first")

    async def second(self, call: Delivered) -> None:
        if not self.has_hung:
            self.has_hung = True
            await self.middle(call)
        await call.enqueue("third", {}, "jobs")
        self.done.append("second")

    async def third(self, call: Delivered) -> None:
        self.done.append(f"third, attempt {call.durable['attempt']}")


@pytest.fixture
async def exits() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_a_killed_bridge_continues_after_its_restart_where_it_was(
    temporal: Client, temporal_address: str, prefix: str, tmp_path: Path, exits: AsyncExitStack
) -> None:
    path = write_config(tmp_path, bridge_config(temporal_address, prefix, QUEUES))
    pipeline = Pipeline()
    first = await exits.enter_async_context(bridge_process(path))
    worker = await exits.enter_async_context(connected(first.worker_url))
    await pipeline.register(worker)
    receipt = await worker.enqueue("first", {}, "jobs")
    await eventually(lambda: pipeline.middle.begun)
    await first.kill()

    second = await exits.enter_async_context(bridge_process(path))
    worker = await exits.enter_async_context(connected(second.worker_url))
    await pipeline.register(worker)
    chain = temporal.get_workflow_handle(chain_id(Tenancy(prefix), receipt))
    assert (await ended(chain, 30)).status is WorkflowExecutionStatus.COMPLETED
    assert pipeline.done == ["first", "second", "third, attempt 1"]


async def test_a_killed_temporal_continues_after_its_restart_where_it_was(
    tmp_path: Path, exits: AsyncExitStack
) -> None:
    port, database, prefix = free_port(), tmp_path / "temporal.db", new_prefix()
    pipeline = Pipeline()
    async with temporal_server(port, database, ends_by="kill") as address:
        client = await Client.connect(address)
        path = write_config(tmp_path, bridge_config(address, prefix, QUEUES))
        bridge = await exits.enter_async_context(running_bridge(path, client, prefix))
        await pipeline.register(worker := await bridge.connect())
        receipt = await worker.enqueue("first", {}, "jobs")
        await eventually(lambda: pipeline.middle.begun)
    pipeline.middle.open()
    await exits.enter_async_context(temporal_server(port, database))
    assert (await ended(bridge.chain(receipt), 40)).status is WorkflowExecutionStatus.COMPLETED
    assert pipeline.done[:2] == ["first", "second"]
    assert len([done for done in pipeline.done if done.startswith("third")]) == 1


async def test_while_temporal_is_away_enqueue_says_so_and_the_rest_works(
    tmp_path: Path, exits: AsyncExitStack
) -> None:
    port, database, prefix = free_port(), tmp_path / "temporal.db", new_prefix()
    heard = Recording()
    async with temporal_server(port, database) as address:
        client = await Client.connect(address)
        path = write_config(tmp_path, bridge_config(address, prefix, QUEUES, enqueue_timeout_ms=1500))
        bridge = await exits.enter_async_context(running_bridge(path, client, prefix))
        worker = await bridge.connect()
        await worker.offer(job=heard, works=succeed)
        await worker.enqueue("job", {"n": 1}, "jobs")
        await bridge.eventually_handled(heard.payloads, 1)

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(CallFailed) as refused:
            await worker.enqueue("job", {"n": 2}, "jobs")
    assert refused.value.code == "enqueue_error"
    assert f"Temporal at {address} did not answer within 1500 ms" in refused.value.message
    assert "without a restart" in refused.value.message
    assert await worker.trigger("works") is None
    await queue_functions_say_so(worker)

    await exits.enter_async_context(temporal_server(port, database))

    async def accepted() -> bool:
        try:
            return bool(await worker.enqueue("job", {"n": 3}, "jobs"))
        except CallFailed:
            return False

    await eventually(accepted)
    await eventually(lambda: {"n": 3} in heard.payloads)
    assert {"n": 2} not in heard.payloads


async def test_a_bridge_starts_without_temporal_and_finds_it_later(
    tmp_path: Path, exits: AsyncExitStack
) -> None:
    port, prefix = free_port(), new_prefix()
    path = write_config(tmp_path, bridge_config(f"127.0.0.1:{port}", prefix, QUEUES))
    process = await exits.enter_async_context(running_bridge(path, None, prefix, awaits_temporal=False))
    worker = await process.connect()
    heard = Recording()
    await worker.offer(job=heard, works=succeed)
    assert await worker.trigger("works") is None
    with pytest.raises(CallFailed) as refused:
        await worker.enqueue("job", {}, "jobs")
    assert refused.value.code == "enqueue_error"
    assert "has not been reached yet" in refused.value.message
    await exits.enter_async_context(temporal_server(port))
    await asyncio.wait_for(asyncio.shield(process.bridge.ready), 20)
    await worker.enqueue("job", {"n": 1}, "jobs")
    await bridge_handles(heard)


async def queue_functions_say_so(worker: FakeSdk) -> None:
    """Ask everything about dead letters at once; each answers with its code long before SDKs give up."""
    codes = {
        "iii::queue::redrive": "redrive_failed",
        "iii::queue::discard": "discard_failed",
        "iii::queue::redrive_message": "redrive_message_failed",
        "iii::queue::discard_message": "discard_message_failed",
        "iii::queue::operation": "operation_failed",
        "iii::queue::cancel_operation": "cancel_operation_failed",
        "engine::queue::list_topics": "list_topics_failed",
        "engine::queue::topic_stats": "topic_stats_failed",
        "engine::queue::dlq_topics": "dlq_topics_failed",
        "engine::queue::dlq_messages": "dlq_messages_failed",
    }
    more = {
        "engine::queue::list_topics": {"details": True},
        "iii::queue::redrive": {},
        "iii::queue::discard": {},
        "iii::queue::operation": {"operation_id": "o"},
        "iii::queue::cancel_operation": {"operation_id": "o"},
    }
    asked = [worker.trigger(each, {"queue": "jobs"} | more.get(each, {"message_id": "m"})) for each in codes]
    failures = await asyncio.gather(*asked, return_exceptions=True)
    for code, failure in zip(codes.values(), failures, strict=True):
        assert isinstance(failure, CallFailed)
        assert failure.code == code
        assert "Temporal did not answer" in failure.message
    assert "'jobs': no dead letter was touched" in str(failures[0])


async def bridge_handles(heard: Recording) -> None:
    await eventually(lambda: heard.payloads)
