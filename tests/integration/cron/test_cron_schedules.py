"""Cron triggers on a real Temporal server: their schedules are described and triggered, never waited for."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker as TemporalWorker

from activities.operations import Operations
from bridge.builtins.cron import CronSettings, CronTriggers
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import Function
from bridge.engine.triggers import Binding
from bridge.engine.workers import Worker
from bridge.errors import FunctionFailedError, TriggerRejectedError
from bridge.protocol import payload
from bridge.temporal.connection import TemporalAddress, TemporalConnection
from bridge.temporal.schedules import TemporalSchedules
from bridge.temporal.search_attributes import ensure_search_attributes
from bridge.temporal.workers import sandbox
from tests.support.waiting import PATIENCE_S
from workflows.contract import ChainEvent, CronFire, CronTick, Message, SearchAttribute, Tenancy, Ticket
from workflows.cron_fire import CronFireWorkflow
from workflows.names import cron_task_queue

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

FUNCTION = "reports::nightly"
YEARLY = {"expression": "0 0 9 1 1 *"}  # never due while a test runs
T = TypeVar("T")


class NoSender:
    """Cron needs none of what workflows of other kinds send."""

    async def join_lane(self, ticket: Ticket) -> None:
        raise AssertionError(ticket)

    async def redrive(self, message: Message, payload: bytes) -> None:
        raise AssertionError(message, payload)

    async def is_open(self, workflow_id: str) -> bool:
        raise AssertionError(workflow_id)


async def no_watch(receipt: str, watcher_id: str) -> None:
    raise AssertionError(receipt, watcher_id)


async def nobody_watches(events: list[ChainEvent]) -> None:
    raise AssertionError(events)


class Bridge:
    """The parts of a bridge that cron needs. It fires at the real time, and reckons absences by its own."""

    def __init__(self, client: Client, connection: TemporalConnection, prefix: str) -> None:
        ids = itertools.count(1)
        self.client = client
        self.tenancy = Tenancy(prefix)
        self.clock_offset_ns = 0
        self.results: list[str] = []
        self.engine = Engine(spawn=self._spawn, new_id=lambda: f"00000000-0000-0000-0000-{next(ids):012}")
        self.schedules = TemporalSchedules(connection, lambda: self.tenancy)
        self.cron = CronTriggers(
            self.engine, self.schedules, CronSettings(orphan_timeout_ms=60_000), self.now_ns
        )
        self.cron.register(self.engine)
        self._tasks: set[asyncio.Task[None]] = set()

    def now_ns(self) -> int:
        return int(datetime.now(UTC).timestamp() * 1e9) + self.clock_offset_ns

    def worker(self, worker_id: str = "worker-1") -> Worker:
        worker = Worker(
            id=worker_id, send=lambda _: None, abort=lambda: None, reattach_token="", connected_at_ms=0
        )
        self.engine.connect(worker)
        return worker

    def bind(self, config: Any, *, owner: Worker | None = None, trigger_id: str = "trigger-1") -> None:
        binding = Binding(
            id=trigger_id,
            trigger_type="cron",
            function_id=FUNCTION,
            config=payload.encode(config),
            owner=owner,
        )
        self.engine.triggers.bind(binding)

    def offer(self, function_id: str, behaviour: Callable[[Any], Any]) -> None:
        async def handle(call: Call) -> msgspec.Raw:
            return payload.encode(behaviour(json.loads(bytes(call.data))))

        self.engine.functions.offer(Function(function_id, "default", handle))

    async def settle(self) -> None:
        await self.cron._keeper.settle()

    async def sweep(self) -> None:
        await self.cron._keeper.sweep()

    async def schedule(self) -> ScheduleHandle:
        """Return the only schedule of this bridge, as soon as visibility lists it."""
        ids = await eventually(self._schedule_ids, lambda ids: len(ids) > 0)
        (schedule_id,) = ids
        return self.client.get_schedule_handle(schedule_id)

    async def _schedule_ids(self) -> list[str]:
        query = f"ScheduleId STARTS_WITH '{self.tenancy.prefix}.'"
        return [entry.id async for entry in await self.client.list_schedules(query)]

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Run fires while the body runs."""
        operations = Operations(NoSender(), self._fire, no_watch, nobody_watches)
        async with polling(self.client, self.tenancy.prefix, operations.fire_cron):
            yield

    async def _fire(self, tick: CronTick) -> str:
        result = await self.cron.fire(tick)
        self.results.append(result)
        return result

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def polling(client: Client, prefix: str, fire: Callable[..., Any]) -> AsyncIterator[None]:
    """Poll as a bridge does; its own activities are on one task queue and cron fires on another."""
    async with (
        TemporalWorker(
            client,
            task_queue=prefix,
            workflows=[CronFireWorkflow],
            workflow_runner=sandbox(),
            activities=[fire],
        ),
        TemporalWorker(client, task_queue=cron_task_queue(Tenancy(prefix)), activities=[fire]),
    ):
        yield


async def eventually(look: Callable[[], Awaitable[T]], is_right: Callable[[T], bool]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        while not is_right(seen := await look()):  # noqa: ASYNC110 - Temporal has no event for it
            await asyncio.sleep(0.02)
    return seen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(client: Client) -> TemporalConnection:
    await ensure_search_attributes(client)
    connection = TemporalConnection(
        TemporalAddress(client.service_client.config.target_host, client.namespace)
    )
    await connection.connect()
    return connection


@pytest.fixture
def bridge(client: Client, connection: TemporalConnection) -> Bridge:
    return Bridge(client, connection, f"test-{uuid4().hex[:8]}")


async def triggered(schedule: ScheduleHandle, client: Client) -> WorkflowHandle[Any, Any]:
    """Trigger a schedule by hand and return the workflow that this starts."""
    await schedule.trigger()
    described = await eventually(schedule.describe, lambda seen: len(seen.info.recent_actions) > 0)
    action = described.info.recent_actions[-1].action
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    return client.get_workflow_handle(action.workflow_id)


async def test_the_schedule_says_what_the_trigger_asked_for(bridge: Bridge) -> None:
    bridge.bind(
        {
            "expression": "0 30 9 * * Mon",
            "timezone": "Asia/Kathmandu",
            "overlap": "buffer_one",
            "catchup_window_ms": 120_000,
            "jitter_ms": 1_500,
        }
    )
    await bridge.settle()
    schedule = await bridge.schedule()
    described = await schedule.describe()
    action = described.schedule.action
    assert schedule.id.startswith(f"{bridge.tenancy.prefix}.cron/{FUNCTION}/")
    assert isinstance(action, ScheduleActionStartWorkflow)
    assert action.workflow == "iii.cron_fire"
    assert action.task_queue == bridge.tenancy.prefix
    assert described.schedule.policy == SchedulePolicy(
        overlap=ScheduleOverlapPolicy.BUFFER_ONE, catchup_window=timedelta(minutes=2)
    )
    assert described.schedule.spec.jitter == timedelta(seconds=1.5)
    assert described.schedule.spec.time_zone_name == "Asia/Kathmandu"
    local = {(fire + timedelta(hours=5, minutes=45)) for fire in described.info.next_action_times}
    assert {(fire.strftime("%a"), fire.hour, fire.minute) for fire in local} == {("Mon", 9, 30)}


async def test_a_fire_runs_the_function_with_the_time_it_was_due(bridge: Bridge) -> None:
    received: asyncio.Queue[Any] = asyncio.Queue()
    bridge.offer(FUNCTION, received.put_nowait)
    bridge.bind(YEARLY)
    await bridge.settle()
    schedule = await bridge.schedule()
    due = datetime(2025, 1, 1, 9, tzinfo=UTC)
    async with bridge.polling():
        await schedule.backfill(
            ScheduleBackfill(start_at=due - timedelta(seconds=1), end_at=due + timedelta(seconds=1))
        )
        event = await received.get()
    assert event["trigger"] == "cron"
    assert event["job_id"] == "trigger-1"
    assert event["scheduled_time"] == "2025-01-01T09:00:00+00:00"


async def test_a_fire_is_found_by_its_function_and_says_how_it_ended(bridge: Bridge, client: Client) -> None:
    bridge.offer(FUNCTION, lambda _: None)
    bridge.bind(YEARLY)
    await bridge.settle()
    schedule = await bridge.schedule()
    async with bridge.polling():
        fire = await triggered(schedule, client)
        assert await fire.result() == "ran"
    described = await fire.describe()
    assert described.search_attributes[SearchAttribute.FUNCTION] == [FUNCTION]
    assert fire.id.startswith(schedule.id)


async def test_a_condition_that_objects_shows_as_skipped(bridge: Bridge, client: Client) -> None:
    bridge.offer("is_open", lambda _: False)
    bridge.bind({**YEARLY, "condition_function_id": "is_open"})
    await bridge.settle()
    schedule = await bridge.schedule()
    async with bridge.polling():
        fire = await triggered(schedule, client)
        assert await fire.result() == "skipped"


async def test_an_error_of_the_function_fails_the_fire_once(bridge: Bridge, client: Client) -> None:
    calls: list[Any] = []

    def fail(event: Any) -> None:
        calls.append(event)
        raise FunctionFailedError("OUT_OF_PAPER", "the printer is empty", "at print()")

    bridge.offer(FUNCTION, fail)
    bridge.bind(YEARLY)
    await bridge.settle()
    schedule = await bridge.schedule()
    async with bridge.polling():
        fire = await triggered(schedule, client)
        with pytest.raises(WorkflowFailureError) as caught:
            await fire.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "OUT_OF_PAPER"
    assert caught.value.cause.message == "the printer is empty"
    assert caught.value.cause.details == ("at print()",)
    assert len(calls) == 1


async def test_a_fire_whose_bridge_is_lost_is_not_repeated(bridge: Bridge, client: Client) -> None:
    calls: list[CronTick] = []

    @activity.defn(name="iii.fire_cron")
    async def never_heard_of_again(tick: CronTick) -> str:
        calls.append(tick)
        return await asyncio.Future()

    fire = CronFire("key", FUNCTION, YEARLY["expression"], heartbeat_timeout_ms=200)
    async with polling(client, bridge.tenancy.prefix, never_heard_of_again):
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(
                CronFireWorkflow.run, fire, id=str(uuid4()), task_queue=bridge.tenancy.prefix
            )
        await eventually(lambda: _now(calls), bool)  # a busy machine may begin it when it has failed already
    assert len(calls) == 1


async def test_a_fire_that_finds_nobody_runs_when_the_worker_returns(bridge: Bridge, client: Client) -> None:
    bridge.offer(FUNCTION, lambda _: None)
    worker = bridge.worker()
    bridge.bind(YEARLY, owner=worker)
    await bridge.settle()
    schedule = await bridge.schedule()
    bridge.engine.disconnect(worker)
    async with bridge.polling():
        fire = await triggered(schedule, client)
        await eventually(lambda: _now(bridge.results), lambda results: "nobody" in results)
        bridge.bind(YEARLY, owner=bridge.worker("worker-2"))
        assert await fire.result() == "ran"


async def test_the_schedule_is_paused_while_its_worker_is_away(bridge: Bridge) -> None:
    worker = bridge.worker()
    bridge.bind(YEARLY, owner=worker)
    await bridge.settle()
    schedule = await bridge.schedule()
    before = await schedule.describe()
    bridge.engine.disconnect(worker)
    await bridge.settle()
    away = await schedule.describe()
    bridge.bind(YEARLY, owner=bridge.worker("worker-2"))
    await bridge.settle()
    after = await schedule.describe()
    assert (before.schedule.state.paused, away.schedule.state.paused) == (False, True)
    assert "the trigger's worker is away since" in (away.schedule.state.note or "")
    assert not after.schedule.state.paused
    assert after.schedule.state.note == f"Kept by iii-temporal bridge {bridge.schedules.identity}"
    assert await fire_of(after) == await fire_of(away) == await fire_of(before)


async def test_a_pause_by_hand_is_never_undone(bridge: Bridge) -> None:
    worker = bridge.worker()
    bridge.bind(YEARLY, owner=worker)
    await bridge.settle()
    schedule = await bridge.schedule()
    await schedule.pause(note="maintenance until Friday")
    bridge.engine.disconnect(worker)
    await bridge.settle()
    bridge.bind({**YEARLY, "jitter_ms": 1000}, owner=bridge.worker("worker-2"))
    await bridge.settle()
    await bridge.sweep()
    described = await schedule.describe()
    assert described.schedule.state.paused
    assert described.schedule.state.note == "maintenance until Friday"
    assert described.schedule.spec.jitter == timedelta(seconds=1)


async def test_a_pause_by_hand_in_the_last_moment_is_not_taken_over(bridge: Bridge) -> None:
    bridge.bind(YEARLY)
    await bridge.settle()
    schedule = await bridge.schedule()
    await schedule.pause(note="maintenance")
    await bridge.schedules.pause(schedule.id.removeprefix(f"{bridge.tenancy.prefix}.cron/"), since_ms=0)
    assert (await schedule.describe()).schedule.state.note == "maintenance"


async def test_a_schedule_resumed_by_hand_runs_again(bridge: Bridge) -> None:
    bridge.bind(YEARLY, owner=bridge.worker())
    await bridge.settle()
    schedule = await bridge.schedule()
    await schedule.pause(note="maintenance")
    await schedule.unpause(note="done")
    await bridge.sweep()
    assert not (await schedule.describe()).schedule.state.paused


async def test_a_note_that_only_looks_like_ours_is_a_persons(bridge: Bridge) -> None:
    bridge.bind(YEARLY)
    await bridge.settle()
    schedule = await bridge.schedule()
    note = "Paused by iii-temporal: the trigger's worker is away since yesterday"
    await schedule.pause(note=note)
    bridge.bind({**YEARLY, "jitter_ms": 1000})
    await bridge.settle()
    assert (await schedule.describe()).schedule.state.note == note


async def test_replicas_share_one_schedule_until_the_last_unregisters(bridge: Bridge) -> None:
    bridge.bind(YEARLY, owner=bridge.worker("worker-1"), trigger_id="trigger-1")
    bridge.bind(YEARLY, owner=bridge.worker("worker-2"), trigger_id="trigger-2")
    await bridge.settle()
    schedule = await bridge.schedule()
    bridge.engine.triggers.unbind("trigger-1")
    await bridge.settle()
    assert not (await schedule.describe()).schedule.state.paused
    bridge.engine.triggers.unbind("trigger-2")
    await bridge.settle()
    with pytest.raises(RPCError) as caught:
        await schedule.describe()
    assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_what_a_lost_bridge_left_is_paused_and_then_deleted(
    bridge: Bridge, client: Client, connection: TemporalConnection
) -> None:
    bridge.bind(YEARLY)
    await bridge.settle()
    schedule = await bridge.schedule()
    await schedule.update(kept_by("4711@lost"))
    successor = Bridge(client, connection, bridge.tenancy.prefix)

    async def swept() -> ScheduleDescription | None:
        await successor.sweep()
        try:
            return await schedule.describe()
        except RPCError:
            return None

    await eventually(swept, lambda seen: seen is not None and seen.schedule.state.paused)
    await swept()
    assert (await schedule.describe()).schedule.state.paused
    successor.clock_offset_ns = 61_000_000_000
    await eventually(swept, lambda seen: seen is None)


async def test_a_stopping_bridge_pauses_its_schedules(bridge: Bridge) -> None:
    bridge.bind(YEARLY)
    running = asyncio.create_task(bridge.cron.run())
    schedule = await bridge.schedule()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await bridge.cron.close()
    assert (await schedule.describe()).schedule.state.paused


async def test_a_polling_bridge_counts_as_living(bridge: Bridge, client: Client) -> None:
    async with bridge.polling():
        living = await eventually(bridge.schedules.living_keepers, lambda seen: len(seen) > 0)
    assert living == {client.identity}


async def test_a_schedule_that_temporal_refuses_is_a_rejected_trigger(bridge: Bridge) -> None:
    fire = CronFire("key", FUNCTION, YEARLY["expression"])
    with pytest.raises(TriggerRejectedError, match="time zone"):
        await bridge.schedules.keep("key", fire, ScheduleSpec(time_zone_name="No/Where"), SchedulePolicy())


async def test_what_does_not_exist_is_not_found_and_can_be_deleted(bridge: Bridge) -> None:
    assert await bridge.schedules.find("missing") is None
    await bridge.schedules.delete("missing")


async def fire_of(described: ScheduleDescription) -> CronFire:
    action = described.schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    payloads = [argument for argument in action.args if isinstance(argument, Payload)]
    (fire,) = await described.data_converter.decode(payloads, [CronFire])
    assert isinstance(fire, CronFire)
    return fire


def kept_by(identity: str) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    def update(current: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = current.description.schedule
        note = f"Kept by iii-temporal bridge {identity}"
        return ScheduleUpdate(replace(schedule, state=replace(schedule.state, note=note)))

    return update


async def _now(results: list[str]) -> list[str]:
    return results
