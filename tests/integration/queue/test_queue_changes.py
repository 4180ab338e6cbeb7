"""Queues that come, change and go while a bridge runs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.errors import EnqueueError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT
from bridge.temporal.connection import TemporalAddress
from bridge.temporal.enqueuer import EnqueueSettings
from bridge.temporal.messages import NamedQueue
from bridge.temporal.queue_workers import QueueWorker
from bridge.temporal.service import QueueSettings, TemporalSettings
from bridge.temporal.services import TemporalServices
from tests.support.running_bridge import ended
from tests.support.waiting import eventually
from workflows.contract import CronResult, RetryRules, Tenancy
from workflows.names import chain_id

pytestmark = pytest.mark.integration


class Durable:
    """The durable side of a bridge, with one function `job` that waits until it is let go on."""

    def __init__(self, temporal_address: str, prefix: str) -> None:
        self.begun: list[int] = []
        self.released = asyncio.Event()
        self.engine = Engine(spawn=self._spawn, new_id=lambda: str(uuid.uuid4()))
        self.engine.add_builtin("job", self._job, owner_name="test")
        settings = TemporalSettings(TemporalAddress(temporal_address, "default"), EnqueueSettings(), prefix)
        self.service = TemporalServices(self.engine, settings, (), {})
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, concurrency: int) -> None:
        rules = RetryRules(attempts=1, heartbeat_timeout_ms=1000)
        self.service.put_queue("jobs", QueueSettings(NamedQueue(rules), QueueWorker(concurrency)))

    async def enqueue(self, n: int) -> str:
        assert self.engine.enqueuer is not None
        return await self.engine.enqueuer.enqueue(Call("job", payload.encode(n)), "jobs")

    async def has_begun(self, *numbers: int) -> None:
        await eventually(lambda: sorted(self.begun) == sorted(numbers))

    async def _job(self, call: Call) -> msgspec.Raw:
        self.begun.append(msgspec.json.decode(call.data))
        await self.released.wait()
        return ABSENT

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def fire_nothing(_: object) -> str:
    return CronResult.NOBODY


async def alert_nobody(_: object) -> None:
    """Nothing watches dead letters here."""


async def tell_nobody(*_: object) -> None:
    """Nobody watches chains here."""


@pytest.fixture
async def durable(temporal_address: str, prefix: str) -> AsyncIterator[Durable]:
    durable = Durable(temporal_address, prefix)
    running = asyncio.create_task(durable.service.run(fire_nothing, alert_nobody, tell_nobody))
    await durable.service.wait_until_ready()
    yield durable
    durable.released.set()
    durable.service.stop()
    await running


async def test_a_queue_that_comes_is_served_and_one_that_goes_keeps_its_messages(
    durable: Durable, temporal: Client, prefix: str
) -> None:
    with pytest.raises(EnqueueError, match="not found"):
        await durable.enqueue(1)
    durable.put(1)
    receipts = [await durable.enqueue(1)]
    await durable.has_begun(1)  # of two at once either may be the first
    receipts.append(await durable.enqueue(2))

    durable.service.remove_queue("jobs")
    with pytest.raises(EnqueueError, match="not found"):
        await durable.enqueue(3)
    durable.released.set()
    first, second = (temporal.get_workflow_handle(chain_id(Tenancy(prefix), each)) for each in receipts)
    assert (await ended(first)).status is WorkflowExecutionStatus.COMPLETED
    assert durable.begun == [1]

    durable.put(1)
    assert (await ended(second)).status is WorkflowExecutionStatus.COMPLETED
    assert durable.begun == [1, 2]


async def test_a_change_of_concurrency_interrupts_nothing(
    durable: Durable, temporal: Client, prefix: str
) -> None:
    durable.put(1)
    receipts = [await durable.enqueue(n) for n in range(4)]
    await eventually(lambda: durable.begun)
    (running,) = durable.begun

    durable.put(2)
    await eventually(lambda: len(durable.begun) == 3)
    durable.released.set()
    for receipt in receipts:
        handle = temporal.get_workflow_handle(chain_id(Tenancy(prefix), receipt))
        assert (await ended(handle)).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(durable.begun) == [0, 1, 2, 3], f"{running} ran twice"


async def test_a_queue_without_slots_is_paused(durable: Durable) -> None:
    durable.put(0)
    durable.released.set()
    await durable.enqueue(1)
    assert durable.begun == []
    durable.put(1)
    await durable.has_begun(1)
