"""Cron triggers of a whole bridge, as its operator set it up."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, ScheduleHandle
from temporalio.service import RPCError

from tests.support.fake_sdk import FakeSdk
from tests.support.handlers import Failing, Gate, succeed
from tests.support.running_bridge import RunningBridge, bridge_config, events, running_bridge, write_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

Start = Callable[..., Awaitable[RunningBridge]]


@pytest.fixture
async def start(temporal: Client, temporal_address: str, prefix: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Start bridges with these keys of `iii-cron`."""
    async with AsyncExitStack() as exits:

        async def run(**cron: Any) -> RunningBridge:
            config = bridge_config(temporal_address, prefix, {})
            config["workers"].append({"name": "iii-cron", "config": cron})
            return await exits.enter_async_context(
                running_bridge(write_config(tmp_path, config), temporal, prefix)
            )

        yield run


async def bind(worker: FakeSdk, function_id: str, expression: str) -> None:
    await worker.send(
        {
            "type": "registertrigger",
            "id": f"trigger-{function_id}",
            "trigger_type": "cron",
            "function_id": function_id,
            "config": {"expression": expression},
        }
    )


async def schedule_ids(bridge: RunningBridge) -> list[str]:
    query = f"ScheduleId STARTS_WITH '{bridge.prefix}.'"
    return [entry.id async for entry in await bridge.client.list_schedules(query)]


async def schedule_of(bridge: RunningBridge) -> ScheduleHandle:
    (schedule_id,) = await eventually(lambda: schedule_ids(bridge))
    return bridge.client.get_schedule_handle(schedule_id)


async def test_a_schedule_whose_worker_does_not_return_fires_no_more_and_is_deleted(start: Start) -> None:
    bridge = await start(orphan_timeout_ms=1500)
    worker = await bridge.connect()
    await worker.offer(reports__every_second=succeed)
    await bind(worker, "reports::every_second", "* * * * * *")
    schedule = await schedule_of(bridge)
    await eventually(lambda: len(worker.delivered) > 0)

    worker.drop()

    async def is_paused() -> bool:
        return bool((await schedule.describe()).schedule.state.paused)

    async def fired() -> int | None:
        try:
            return (await schedule.describe()).info.num_actions
        except RPCError:  # it is deleted
            return None

    await eventually(is_paused)
    counts = {await fired()}

    async def is_gone() -> bool:
        counts.add(await fired())
        return None in counts

    await eventually(is_gone)
    assert len(counts) == 2  # the number of fires while it was paused, and then none


async def test_a_function_that_fails_is_called_again_at_the_next_time(start: Start) -> None:
    bridge = await start()
    worker, failing = await bridge.connect(), Failing()
    await worker.offer(reports__every_second=failing)
    await bind(worker, "reports::every_second", "* * * * * *")
    await eventually(lambda: len(failing.calls) > 1)
    times = [call.data["scheduled_time"] for call in failing.calls]
    assert times == sorted(set(times))


async def test_a_fire_holds_no_slot_of_the_bridges_own_activities(start: Start) -> None:
    bridge = await start()
    worker = await bridge.connect()
    gate = Gate()
    await worker.offer(reports__long=gate)
    await bind(worker, "reports::long", "0 0 0 1 1 *")
    schedule = await schedule_of(bridge)
    await schedule.trigger()
    await eventually(lambda: gate.begun)
    query = f"WorkflowType = 'iii.cron_fire' AND WorkflowId STARTS_WITH '{bridge.prefix}.'"

    async def fires() -> list[str]:
        return [each.id async for each in bridge.client.list_workflows(query)]

    (fire,) = await eventually(fires)
    history = await events(bridge.client.get_workflow_handle(fire))
    queues = [
        event.activity_task_scheduled_event_attributes.task_queue.name
        for event in history
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    gate.open()
    assert queues == [f"{bridge.prefix}.cron"]
