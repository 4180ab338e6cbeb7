"""More messages join one group than one run of a workflow takes signals: 10,000 by default, 20 here."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest import mock

import pytest
import pytest_asyncio
from temporalio.client import WorkflowExecutionStatus

from bridge.temporal.dev_server import TUNING
from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Gate, Recording, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.temporal_server import temporal_server
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration

SIGNALS_PER_RUN = 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def temporal_address() -> AsyncIterator[str]:
    """A server that lets a run take few signals."""
    flag = ("--dynamic-config-value", f"history.maximumSignalsPerExecution={SIGNALS_PER_RUN}")
    with mock.patch("bridge.temporal.dev_server.TUNING", (*TUNING, *flag)):
        async with temporal_server() as address:
            yield address


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"backoff_ms": 1},
        "lines": {"type": "fifo", "message_group_field": "g", "backoff_ms": 1},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(
        turn_check_ms=1000,
        lane_check_ms=1000,
        longest_check_ms=1000,
        events_per_run=4 * SIGNALS_PER_RUN,
        busy_events=SIGNALS_PER_RUN,
    )


async def send(sender: FakeSdk, numbers: range) -> None:
    for n in numbers:
        await sender.enqueue("job", {"g": 1, "n": n}, "lines")


async def keep_busy(workers: Sequence[FakeSdk], sender: FakeSdk) -> Gate:
    """Have a handler of the group run until the gate is opened."""
    gate = Gate()
    for worker in workers:
        await worker.offer(gate=gate)
    await sender.enqueue("gate", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    return gate


async def test_a_group_takes_any_number_of_messages_while_one_handler_runs(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    gate = await keep_busy([worker], sender)
    await send(sender, range(3 * SIGNALS_PER_RUN))
    gate.open()
    await send(sender, range(3 * SIGNALS_PER_RUN, 3 * SIGNALS_PER_RUN + 10))  # while the line moves
    await eventually(lambda: len(heard.payloads) >= 3 * SIGNALS_PER_RUN + 10)
    assert heard.of("n") == list(range(3 * SIGNALS_PER_RUN + 10))
    assert (await ended(bridge.lane("lines", "1"))).status is WorkflowExecutionStatus.COMPLETED


async def test_every_sender_keeps_its_order_in_a_group_that_overflows_again_and_again(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    one, two = await start_bridge(queues), await start_bridge(queues)
    workers = [await one.connect(), await two.connect()]
    senders = [await one.connect(), await two.connect(), await two.connect()]
    heard: dict[int, list[int]] = defaultdict(list)
    handled = sent = 0

    async def job(call: Delivered) -> None:
        nonlocal handled
        heard[call.data["sender"]].append(call.data["n"])
        handled += 1

    async def send_all(sender: int) -> None:
        nonlocal sent
        for n in range(25):
            await senders[sender].enqueue("job", {"g": 1, "sender": sender, "n": n}, "lines")
            sent += 1

    for worker in workers:
        await worker.offer(job=job)
    gate = await keep_busy(workers, senders[0])
    async with asyncio.TaskGroup() as tasks:
        for sender in range(3):
            tasks.create_task(send_all(sender))
        await eventually(lambda: sent > SIGNALS_PER_RUN)
        gate.open()
    await eventually(lambda: handled >= 3 * 25)
    assert heard == {sender: list(range(25)) for sender in range(3)}


async def test_steps_of_chains_join_a_crowded_group_too(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()

    async def parent(call: Delivered) -> None:
        for n in range(6):
            await call.enqueue("job", {"g": 1, "n": call.data["from"] + n}, "lines")

    await worker.offer(parent=parent, job=heard)
    gate = await keep_busy([worker], sender)
    await send(sender, range(SIGNALS_PER_RUN))
    receipt = await sender.enqueue("parent", {"from": SIGNALS_PER_RUN}, "jobs")
    await eventually(lambda: [call for call in worker.delivered if call.function_id == "parent"])
    await worker.settled()
    gate.open()
    assert (await ended(bridge.chain(receipt), 20)).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(heard.of("n")) == list(range(SIGNALS_PER_RUN + 6))
    steps = [n for n in heard.of("n") if n >= SIGNALS_PER_RUN]
    assert steps == sorted(steps)


async def test_the_running_handler_of_a_crowded_group_can_enqueue(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard, gate = Recording(), Gate()

    async def first(call: Delivered) -> None:
        await gate(call)
        await call.enqueue("next", {}, "jobs")

    await worker.offer(first=first, job=heard, next=succeed)
    receipt = await sender.enqueue("first", {"g": 1}, "lines")
    await eventually(lambda: gate.begun)
    await send(sender, range(SIGNALS_PER_RUN + 5))
    gate.open()
    await bridge.eventually_handled(heard.payloads, SIGNALS_PER_RUN + 5)
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert heard.of("n") == list(range(SIGNALS_PER_RUN + 5))


async def test_who_joined_a_crowded_group_outlives_bridges(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first = await start_bridge(queues, drain_timeout_ms=100)
    worker, sender = await first.connect(), await first.connect()
    await keep_busy([worker], sender)
    await send(sender, range(2 * SIGNALS_PER_RUN))
    await first.stop()

    second = await start_bridge(queues)
    worker = await second.connect()
    heard = Recording()
    await worker.offer(gate=succeed, job=heard)
    await eventually(lambda: len(heard.payloads) >= 2 * SIGNALS_PER_RUN)
    assert heard.of("n") == list(range(2 * SIGNALS_PER_RUN))


async def test_who_was_left_behind_by_a_lane_that_is_terminated_is_served_by_the_next(
    bridge: RunningBridge,
) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    await keep_busy([worker], sender)
    await send(sender, range(SIGNALS_PER_RUN + 10))
    await bridge.lane("lines", "1").terminate()
    await bridge.eventually_handled(heard.payloads, 11)  # the lane took the gate and 19 of them along
    assert heard.of("n") == list(range(SIGNALS_PER_RUN - 1, SIGNALS_PER_RUN + 10))
