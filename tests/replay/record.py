"""Record one history of every workflow shape: `python -m tests.replay.record VERSION [SHAPE …]`.

Run it once for a release, never for a version that has been released: a history that older code recorded is
what proves that newer code still replays it.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from bridge.settings import temporal_settings
from bridge.temporal.alarms import DeadLetterAlarms
from bridge.temporal.connection import TemporalAddress, TemporalConnection
from tests.replay.saga_shapes import SAGA_SHAPES
from tests.replay.topic_shapes import TOPIC_SHAPES
from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Failing, Gate, Recording, succeed
from tests.support.running_bridge import (
    RunningBridge,
    bridge_config,
    ended,
    new_prefix,
    running_bridge,
    write_config,
)
from tests.support.temporal_server import temporal_server
from tests.support.waiting import eventually
from workflows.contract import AnnexStart, Pace, WorkflowType
from workflows.names import alarm_id, annex_id, bulk_id, task_queue

HISTORIES = Path(__file__).parent / "histories"
QUEUES = {
    "plain": {"max_retries": 3, "backoff_ms": 10},
    "once": {"max_retries": 1},
    "fifo": {"type": "fifo", "message_group_field": "group", "max_retries": 3, "backoff_ms": 10},
    "distinct": {"dedupe_field": "id", "dedupe_window_ms": 500},
    "strict": {
        "type": "fifo",
        "message_group_field": "group",
        "max_retries": 1,
        "on_dead_letter": "block",
    },
}

Shape = Callable[[RunningBridge, FakeSdk], Awaitable[WorkflowHandle[Any, Any]]]


async def chain_of_one_step(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__one=succeed)
    return bridge.chain(await worker.enqueue("a::one", {"n": 1}, "plain"))


async def chain_with_a_retry_and_a_turn(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::second", {"group": "g"}, "fifo")

    second = Failing(1)

    async def then_third(call: Delivered) -> None:
        await second(call)
        await call.enqueue("a::third", {}, "plain")

    await worker.offer(a__first=first, a__second=then_third, a__third=succeed)
    return bridge.chain(await worker.enqueue("a::first", {}, "plain"))


async def chain_that_waits_for_a_provider(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    handle = bridge.chain(await worker.enqueue("a::late", {}, "plain"))
    await eventually(lambda: _has_event(handle, "ACTIVITY_TASK_FAILED"))
    await worker.offer(a__late=succeed)
    return handle


async def chain_that_loses_a_step(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__lost=Failing())
    return bridge.chain(await worker.enqueue("a::lost", {}, "plain"))


async def lane_with_messages(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    gate = Gate()
    await worker.offer(a__one=gate)
    for n in range(3):
        await worker.enqueue("a::one", {"group": "g", "n": n}, "fifo")
    gate.open()
    return bridge.lane("fifo", "g")


async def lane_with_a_failing_message(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__one=Failing(1))
    await worker.enqueue("a::one", {"group": "g"}, "fifo")
    return bridge.lane("fifo", "g")


async def lane_with_a_turn(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::second", {"group": "g"}, "fifo")

    await worker.offer(a__first=first, a__second=succeed)
    await ended(bridge.chain(await worker.enqueue("a::first", {}, "plain")))
    return bridge.lane("fifo", "g")


async def lane_whose_message_began_a_chain(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::second", {}, "plain")

    await worker.offer(a__first=first, a__second=succeed)
    await worker.enqueue("a::first", {"group": "g"}, "fifo")
    return bridge.lane("fifo", "g")


async def chain_that_a_lane_began(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    async def first(call: Delivered) -> None:
        await call.enqueue("a::second", {}, "plain")

    await worker.offer(a__first=first, a__second=succeed)
    receipt = await worker.enqueue("a::first", {"group": "g"}, "fifo")
    await ended(bridge.lane("fifo", "g"))
    return bridge.chain(receipt)


async def dead_letter_redriven(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__once=Failing(1))
    receipt = await worker.enqueue("a::once", {}, "once")
    await bridge.dead_letters("once")
    await worker.trigger("iii::queue::redrive", {"queue": "once"})
    return bridge.dead_letter("once", receipt)


async def dead_letter_redriven_into_an_open_chain(
    bridge: RunningBridge, worker: FakeSdk
) -> WorkflowHandle[Any, Any]:
    gate = Gate()

    async def parent(call: Delivered) -> None:
        await call.enqueue("a::once", {"group": "g"}, "fifo")
        await call.enqueue("a::slow", {}, "plain")

    await worker.offer(a__parent=parent, a__once=Failing(3), a__slow=gate)
    await worker.enqueue("a::parent", {}, "plain")
    (letter,) = await bridge.dead_letters("fifo")
    await worker.trigger("iii::queue::redrive", {"queue": "fifo"})
    gate.open()
    return bridge.dead_letter("fifo", letter["id"])


async def bulk_redrive(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__once=Failing(1))
    await worker.enqueue("a::once", {}, "once")
    await bridge.dead_letters("once")
    begun = await worker.trigger("iii::queue::redrive", {"queue": "once", "wait": False})
    return bridge.client.get_workflow_handle(bulk_id(bridge.tenancy, begun["operation_id"]))


async def bulk_that_is_cancelled(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__once=Failing(2))
    for n in range(2):
        await worker.enqueue("a::once", {"n": n}, "once")
    await bridge.dead_letters("once", 2)
    begun = await worker.trigger("iii::queue::discard", {"queue": "once", "wait": False, "rate_per_s": 0.001})
    await bridge.dead_letters("once", 1)
    await worker.trigger("iii::queue::cancel_operation", {"operation_id": begun["operation_id"]})
    return bridge.client.get_workflow_handle(bulk_id(bridge.tenancy, begun["operation_id"]))


async def alarm_that_was_told(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    told = Recording()
    await worker.offer(a__alert=told)
    await _alarm(bridge).begin("once", "a::alert", count=1, capacity=1, threshold=1, at_ms=0)
    await eventually(lambda: told.payloads)
    await _alarm(bridge).end("once")
    return bridge.client.get_workflow_handle(alarm_id(bridge.tenancy, "once"))


async def alarm_that_nobody_heard(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    del worker
    alarm = bridge.client.get_workflow_handle(alarm_id(bridge.tenancy, "once"))
    await _alarm(bridge).begin("once", "a::alert", count=1, capacity=1, threshold=1, at_ms=0)
    await eventually(lambda: _has_event(alarm, "ACTIVITY_TASK_SCHEDULED"))
    await _alarm(bridge).end("once")
    return alarm


def _alarm(bridge: RunningBridge) -> DeadLetterAlarms:
    connection = TemporalConnection(TemporalAddress("unused", "default"))
    connection._client = bridge.client
    return DeadLetterAlarms(connection, lambda: bridge.tenancy)


async def dead_letter_discarded(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__once=Failing())
    receipt = await worker.enqueue("a::once", {}, "once")
    await bridge.dead_letters("once")
    await worker.trigger("iii::queue::discard_message", {"queue": "once", "message_id": receipt})
    return bridge.dead_letter("once", receipt)


async def lane_that_is_held(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await _hold(bridge, worker)
    await worker.trigger("iii::queue::redrive", {"queue": "strict"})
    return bridge.lane("strict", "g")


async def dead_letter_that_held_a_group(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    receipt = await _hold(bridge, worker)
    await worker.trigger("iii::queue::discard_message", {"queue": "strict", "message_id": receipt})
    return bridge.dead_letter("strict", receipt)


async def chain_that_holds_its_group(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    return bridge.chain(await _hold(bridge, worker))


async def dedupe_marker(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__one=succeed)
    await worker.enqueue("a::one", {"id": 7}, "distinct")
    return bridge.dedupe_marker("distinct", "7")


async def dedupe_marker_that_sends(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__one=succeed)
    with (
        mock.patch("bridge.temporal.enqueuer.TemporalEnqueuer._send_apart"),
        mock.patch("bridge.temporal.dedupe_markers.DedupeMarkers.release"),
    ):
        await worker.enqueue("a::one", {"id": 7}, "distinct")
    return bridge.dedupe_marker("distinct", "7")


async def cron_fire(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    await worker.offer(a__tick=succeed)
    config = {"expression": "0 0 0 1 1 *"}
    await worker.send(
        {
            "type": "registertrigger",
            "id": "t-1",
            "trigger_type": "cron",
            "function_id": "a::tick",
            "config": config,
        }
    )

    async def schedule_id() -> str | None:
        async for schedule in await bridge.client.list_schedules():
            if schedule.id.startswith(f"{bridge.prefix}."):
                return schedule.id
        return None

    await bridge.client.get_schedule_handle(await eventually(schedule_id)).trigger()

    async def workflow_id() -> str | None:
        query = f"WorkflowType = 'iii.cron_fire' AND WorkflowId STARTS_WITH '{bridge.prefix}.'"
        async for execution in bridge.client.list_workflows(query):
            return execution.id
        return None

    return bridge.client.get_workflow_handle(await eventually(workflow_id))


async def chain_that_is_cancelled(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    gate = Gate()
    await worker.offer(a__one=gate)
    chain = bridge.chain(await worker.enqueue("a::one", {}, "plain"))
    await eventually(lambda: gate.begun)
    await chain.cancel()
    gate.open()
    return chain


async def chain_of_a_redriven_message(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    failing = Failing(1)
    await worker.offer(a__once=failing)
    chain = bridge.chain(await worker.enqueue("a::once", {}, "once"))
    await bridge.dead_letters("once")
    await worker.trigger("iii::queue::redrive", {"queue": "once"})
    await eventually(lambda: len(failing.calls) == 2)
    return chain


async def chain_that_continues_as_new(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    async def parent(call: Delivered) -> None:
        for n in range(CONTINUING):
            await call.enqueue("a::late", {"n": n}, "plain")

    await worker.offer(a__parent=parent)
    receipt = await worker.enqueue("a::parent", {}, "plain")
    return await _continued(bridge, bridge.chain(receipt))


async def crowded_lane(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    return await _continued(bridge, await _crowd(bridge, worker))


async def lane_that_reads_annexes(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    first = await _continued(bridge, lane := await _crowd(bridge, worker))
    second = (await first.fetch_history()).events[-1].workflow_execution_continued_as_new_event_attributes
    return bridge.client.get_workflow_handle(lane.id, run_id=second.new_execution_run_id)


async def annex(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    first = await _continued(bridge, lane := await _crowd(bridge, worker))
    return bridge.client.get_workflow_handle(f"{lane.id}/{first.run_id}.line")


async def annex_that_makes_itself_known(bridge: RunningBridge, _: FakeSdk) -> WorkflowHandle[Any, Any]:
    tenancy = replace(bridge.tenancy, pace=Pace(lane_check_ms=100))
    return await bridge.client.start_workflow(
        WorkflowType.FIFO_ANNEX,
        AnnexStart(tenancy, "fifo", "g", "left"),
        id=annex_id(tenancy, "fifo", "g", "left"),
        task_queue=task_queue(tenancy),
    )


async def lane_that_continues_as_new(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    gate = Gate()
    sender = await bridge.connect()
    await worker.offer(a__one=gate)
    for n in range(CONTINUING):
        await sender.enqueue("a::one", {"group": "g", "n": n}, "fifo")
    gate.open()
    return await _continued(bridge, bridge.lane("fifo", "g"))


async def _crowd(bridge: RunningBridge, worker: FakeSdk) -> WorkflowHandle[Any, Any]:
    """Have more messages join a group than its lane takes along into a fresh history."""
    await lane_that_continues_as_new(bridge, worker)
    return bridge.lane("fifo", "g")


CONTINUING = 12
SHORT = Pace(events_per_run=20)
CROWDED = {crowded_lane, lane_that_reads_annexes, annex}
FEW_PLACES = Pace(events_per_run=20, busy_events=20, places_per_run=2)
SHAPES: list[Shape] = [
    chain_of_one_step,
    chain_with_a_retry_and_a_turn,
    chain_that_waits_for_a_provider,
    chain_that_loses_a_step,
    chain_that_a_lane_began,
    lane_with_messages,
    lane_with_a_failing_message,
    lane_with_a_turn,
    lane_whose_message_began_a_chain,
    dead_letter_redriven,
    dead_letter_redriven_into_an_open_chain,
    dead_letter_discarded,
    lane_that_is_held,
    dead_letter_that_held_a_group,
    chain_that_holds_its_group,
    alarm_that_was_told,
    alarm_that_nobody_heard,
    bulk_redrive,
    bulk_that_is_cancelled,
    dedupe_marker,
    dedupe_marker_that_sends,
    cron_fire,
    chain_that_is_cancelled,
    chain_of_a_redriven_message,
    chain_that_continues_as_new,
    lane_that_continues_as_new,
    crowded_lane,
    lane_that_reads_annexes,
    annex,
    annex_that_makes_itself_known,
    *SAGA_SHAPES,
    *TOPIC_SHAPES,
]


async def record(version: str, names: Collection[str] = ()) -> None:
    """Record shapes, every one unless some are named, into a folder named after the version."""
    folder = HISTORIES / version
    folder.mkdir(parents=True, exist_ok=True)
    async with temporal_server() as address:
        for shape in SHAPES:
            if names and shape.__name__ not in names:
                continue
            pace = SHORT if shape.__name__.endswith("continues_as_new") else Pace()
            pace = FEW_PLACES if shape in CROWDED else pace
            async with _bridge(address, pace) as bridge:
                handle = await shape(bridge, await bridge.connect())
                description = await ended(handle)
                run = bridge.client.get_workflow_handle(description.id, run_id=description.run_id)
                history = await run.fetch_history()
                (folder / f"{shape.__name__}.json").write_text(history.to_json() + "\n")
                sys.stdout.write(f"{shape.__name__}: {len(history.events)} events\n")


@asynccontextmanager
async def _bridge(address: str, pace: Pace) -> AsyncIterator[RunningBridge]:
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch(
            "bridge.app.temporal_settings", lambda block: replace(temporal_settings(block), pace=pace)
        ),
    ):
        prefix = new_prefix()
        config = bridge_config(address, prefix, QUEUES)
        config["workers"].append({"name": "iii-cron"})
        path = write_config(Path(directory), config)
        async with running_bridge(path, await Client.connect(address), prefix) as bridge:
            yield bridge


async def _hold(bridge: RunningBridge, worker: FakeSdk) -> str:
    """Have a group held by a message that is lost the first time; return its receipt."""
    await worker.offer(a__once=Failing(1))
    receipt = await worker.enqueue("a::once", {"group": "g"}, "strict")
    await bridge.dead_letters("strict")
    lane = bridge.lane("strict", "g")
    await eventually(lambda: _has_event(lane, "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"))
    return receipt


async def _has_event(handle: WorkflowHandle[Any, Any], kind: str) -> bool:
    history = await handle.fetch_history()
    return any(EventType.Name(event.event_type).endswith(kind) for event in history.events)


async def _continued(bridge: RunningBridge, handle: WorkflowHandle[Any, Any]) -> WorkflowHandle[Any, Any]:
    """Return the first run of a workflow, once that has continued as new."""

    async def first() -> WorkflowHandle[Any, Any] | None:
        query = f"WorkflowId = '{handle.id}' AND ExecutionStatus = 'ContinuedAsNew'"
        runs = [each async for each in bridge.client.list_workflows(query)]
        return bridge.client.get_workflow_handle(handle.id, run_id=runs[-1].run_id) if runs else None

    return await eventually(first)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], sys.argv[2:]))
