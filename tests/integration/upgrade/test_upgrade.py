"""What the previous release began finishes on this one, after a restart and while both run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.support.bridge_process import BridgeProcess, bridge_process
from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk, connected
from tests.support.handlers import Gate, Recording
from tests.support.previous_release import previous_bridge
from tests.support.running_bridge import bridge_config, ended, write_config
from tests.support.waiting import eventually
from workflows.contract import Tenancy
from workflows.names import chain_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

PATIENCE_S = 60
QUEUES: dict[str, Any] = {
    "jobs": {"max_retries": 3, "backoff_ms": 1},
    "lines": {"type": "fifo", "message_group_field": "g", "max_retries": 3, "backoff_ms": 1},
    "once": {"max_retries": 1},
}


class Work:
    """The functions of a worker that connects to one bridge after the other.

    `first` enqueues `second`, which enqueues `ordered` on a FIFO queue; `second` and `waits` hang while the
    gate is closed, and `fails` fails until it is repaired.
    """

    def __init__(self) -> None:
        self.gate = Gate()
        self.finished: list[int] = []
        self.in_order = Recording()
        self.fires: list[Any] = []
        self.is_repaired = False
        self.repaired: list[Any] = []

    async def connect(self, exits: AsyncExitStack, bridge: BridgeProcess) -> FakeSdk:
        worker = await exits.enter_async_context(connected(bridge.worker_url))
        await worker.offer(
            first=self.first, second=self.second, ordered=self.ordered, fails=self.fails, lined=self.in_order
        )
        await worker.register({"every-second": self.fire})
        await worker.send(
            {
                "type": "registertrigger",
                "id": "every-second",
                "trigger_type": "cron",
                "function_id": "every-second",
                "config": {"expression": "* * * * * *"},
            }
        )
        await worker.settled()
        return worker

    async def first(self, call: Delivered) -> None:
        await call.enqueue("second", call.data, "jobs")

    async def second(self, call: Delivered) -> None:
        await self.gate(call)
        await call.enqueue("ordered", {"g": "one", **call.data}, "lines")

    async def ordered(self, call: Delivered) -> None:
        if call.data["n"] not in self.finished:
            self.finished.append(call.data["n"])

    async def fails(self, call: Delivered) -> None:
        if not self.is_repaired:
            raise CallFailed("broken", "not yet")
        self.repaired.append(call.data)

    async def fire(self, call: Delivered) -> None:
        self.fires.append(call.data)


@pytest.fixture
async def exits() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def config(temporal_address: str, prefix: str, tmp_path: Path) -> Path:
    content = bridge_config(temporal_address, prefix, QUEUES)
    content["workers"].append({"name": "iii-cron"})
    return write_config(tmp_path, content)


async def test_what_the_previous_release_began_finishes_on_this_one(
    temporal: Client, prefix: str, config: Path, exits: AsyncExitStack
) -> None:
    work = Work()
    old = await exits.enter_async_context(previous_bridge(config))
    worker = await work.connect(exits, old)
    # On a connection with a handler at work, a message would count as that handler's.
    sender = await exits.enter_async_context(connected(old.worker_url))
    receipts = [await sender.enqueue("first", {"n": n}, "jobs") for n in range(3)]
    await eventually(lambda: len(work.gate.begun) == 3, PATIENCE_S)
    await sender.enqueue("second", {"n": 3, "g": "held"}, "lines")
    await sender.enqueue("lined", {"n": 1, "g": "held"}, "lines")
    unoffered = await sender.enqueue("arrives-later", {}, "jobs")
    lost = await sender.enqueue("fails", {"letter": 1}, "once")
    await eventually(lambda: letters(worker), PATIENCE_S)
    await eventually(lambda: work.fires, PATIENCE_S)
    await old.kill()

    new = await exits.enter_async_context(bridge_process(config))
    fired = len(work.fires)
    worker = await work.connect(exits, new)
    work.gate.open()
    for receipt in receipts:
        await ended(temporal.get_workflow_handle(chain_id(Tenancy(prefix), receipt)), PATIENCE_S)
    await eventually(lambda: sorted(work.finished) == [0, 1, 2, 3], PATIENCE_S)
    await eventually(lambda: [call["n"] for call in work.in_order.payloads] == [1], PATIENCE_S)
    await eventually(lambda: len(work.fires) > fired, PATIENCE_S)
    later = Recording()
    await worker.register({"arrives-later": later})
    await ended(temporal.get_workflow_handle(chain_id(Tenancy(prefix), unoffered)), PATIENCE_S)
    work.is_repaired = True
    assert [letter["id"] for letter in await letters(worker)] == [lost]
    await worker.trigger("iii::queue::redrive", {"queue": "once"})
    await eventually(lambda: work.repaired == [{"letter": 1}], PATIENCE_S)


async def test_bridges_of_both_releases_share_the_work_while_one_replaces_the_other(
    temporal: Client, prefix: str, config: Path, exits: AsyncExitStack
) -> None:
    work = Work()
    work.gate.open()
    old = await exits.enter_async_context(previous_bridge(config))
    await work.connect(exits, old)
    by_old = await exits.enter_async_context(connected(old.worker_url))
    receipts = [await by_old.enqueue("first", {"n": n}, "jobs") for n in range(3)]
    new = await exits.enter_async_context(bridge_process(config))
    await work.connect(exits, new)
    by_new = await exits.enter_async_context(connected(new.worker_url))
    for n in range(3, 9, 2):
        receipts.append(await by_old.enqueue("first", {"n": n}, "jobs"))
        receipts.append(await by_new.enqueue("first", {"n": n + 1}, "jobs"))
    await old.stop()
    chains = [temporal.get_workflow_handle(chain_id(Tenancy(prefix), each)) for each in receipts]
    await asyncio.gather(*(ended(chain, PATIENCE_S) for chain in chains))
    assert sorted(work.finished) == list(range(9))


async def letters(worker: FakeSdk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await worker.trigger("engine::queue::dlq_messages", {"topic": "once"})
    return found
