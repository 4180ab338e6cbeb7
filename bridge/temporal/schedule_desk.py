"""Cron schedules as people see and use them, read from Temporal alone: no bridge needs to run."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionResult,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleOverlapPolicy,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.schedule_notes import away_since_ms, keeper_of
from bridge.temporal.schedules import temporal_errors
from workflows.contract import CronFire, Tenancy, WorkflowType
from workflows.names import schedule_id

__all__ = ["CronEntry", "Fire", "Pause", "ScheduleDesk"]

_RPC_TIMEOUT = timedelta(seconds=10)
_DESCRIBED_AT_ONCE = 8
_LOOK_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a schedule does not fire.

    Attributes:
        by: `bridge` when its worker is away, `person` when somebody paused it.
        note: What that somebody wrote.
        since: Since when the worker is away.
    """

    by: str
    note: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fire:
    """One fire.

    Attributes:
        scheduled_at: When it was due; of one that was started by hand, when that was.
        outcome: `ran`, `skipped`, `failed`, `running`, or `unknown` when Temporal does not keep it any more.
        error: Why it failed, with the code of iii first.
    """

    workflow_id: str
    scheduled_at: datetime
    outcome: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CronEntry:
    """One schedule.

    Attributes:
        key: Its name among the schedules of the bridges.
        fire: What it calls, and when.
        pause: Why it does not fire now, if it is paused.
        keeper: The bridge that keeps it running, if one does.
        next_at: When it is due next, the nearest first; ten at most.
        last: Its latest fire.
        running: How many of its fires run now.
        fired: How often it has fired.
        missed: How often it could not fire in time.
        skipped: How often it did not fire because the fire before it still ran.
    """

    key: str
    fire: CronFire
    pause: Pause | None
    keeper: str | None
    next_at: Sequence[datetime]
    last: Fire | None
    running: int
    fired: int
    missed: int
    skipped: int


class ScheduleDesk:
    """Lists the schedules of cron triggers, and fires them by hand.

    Args:
        client: The connection to Temporal.
        tenancy: Whose schedules.
    """

    def __init__(self, client: Client, tenancy: Tenancy) -> None:
        self._client = client
        self._tenancy = tenancy

    async def entries(self) -> list[CronEntry]:
        """Return all schedules, by key.

        Raises:
            EngineError: Temporal did not answer.
        """
        begin = schedule_id(self._tenancy, "")
        slots = asyncio.Semaphore(_DESCRIBED_AT_ONCE)

        async def read(found_id: str) -> CronEntry | None:
            async with slots:
                return await self._read(found_id)

        with temporal_errors():
            found = await self._client.list_schedules(
                f"ScheduleId STARTS_WITH '{begin}'", rpc_timeout=_RPC_TIMEOUT
            )
            ids = sorted([entry.id async for entry in found])
            read_all = await asyncio.gather(*map(read, ids))
        return [entry for entry in read_all if entry is not None]

    async def run(self, key: str, *, beside_others: bool, timeout_s: float) -> str | None:
        """Fire a schedule now, also one that is paused.

        Args:
            key: The schedule.
            beside_others: Whether to fire although another fire of it runs; else its policy decides.
            timeout_s: How long to wait for the fire to begin.

        Returns:
            The id of the workflow that fires; `None` when none began in time, as the policy may have it.

        Raises:
            EngineError: Temporal did not answer.
        """
        handle = self._client.get_schedule_handle(schedule_id(self._tenancy, key))
        with temporal_errors():
            before = set(_workflow_ids(await handle.describe(rpc_timeout=_RPC_TIMEOUT)))
            await handle.trigger(
                overlap=ScheduleOverlapPolicy.ALLOW_ALL if beside_others else None, rpc_timeout=_RPC_TIMEOUT
            )
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        now = _workflow_ids(await handle.describe(rpc_timeout=_RPC_TIMEOUT))
                        if begun := [each for each in now if each not in before]:
                            return begun[-1]
                        await asyncio.sleep(_LOOK_INTERVAL_S)  # no event tells of it
            except TimeoutError:
                return None

    async def outcome(self, workflow_id: str) -> tuple[str, str | None]:
        """Return how a fire ended, when it has, and why if it failed; as a `Fire` says it.

        Raises:
            EngineError: Temporal did not answer.

        Cancellation: safe; the fire goes on.
        """
        handle = self._client.get_workflow_handle(workflow_id)
        with temporal_errors():
            return await _end_of(handle)

    async def backfill(self, key: str, start_at: datetime, end_at: datetime, *, in_parallel: bool) -> None:
        """Have a schedule fire for every time it would have fired between two moments, both included.

        Raises:
            EngineError: Temporal did not answer.
        """
        overlap = ScheduleOverlapPolicy.ALLOW_ALL if in_parallel else ScheduleOverlapPolicy.BUFFER_ALL
        handle = self._client.get_schedule_handle(schedule_id(self._tenancy, key))
        with temporal_errors():
            await handle.backfill(
                ScheduleBackfill(start_at=start_at, end_at=end_at, overlap=overlap), rpc_timeout=_RPC_TIMEOUT
            )

    async def _read(self, found_id: str) -> CronEntry | None:
        try:
            described = await self._client.get_schedule_handle(found_id).describe(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:  # visibility lists what was deleted a moment ago
                return None
            raise
        fire = await _fire_of(described)
        if fire is None:
            return None
        info, state = described.info, described.schedule.state
        return CronEntry(
            key=found_id.removeprefix(schedule_id(self._tenancy, "")),
            fire=fire,
            pause=_pause_of(state.note) if state.paused else None,
            keeper=None if state.paused else keeper_of(state.note),
            next_at=tuple(info.next_action_times),
            last=await self._last(info.recent_actions),
            running=len(info.running_actions),
            fired=info.num_actions,
            missed=info.num_actions_missed_catchup_window,
            skipped=info.num_actions_skipped_overlap,
        )

    async def _last(self, recent: Sequence[ScheduleActionResult]) -> Fire | None:
        if not recent or not isinstance(recent[-1].action, ScheduleActionExecutionStartWorkflow):
            return None
        workflow_id, scheduled_at = recent[-1].action.workflow_id, recent[-1].scheduled_at
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            description = await handle.describe(rpc_timeout=_RPC_TIMEOUT)
            if description.status is WorkflowExecutionStatus.RUNNING:
                return Fire(workflow_id, scheduled_at, "running")
            return Fire(workflow_id, scheduled_at, *await _end_of(handle))
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return Fire(workflow_id, scheduled_at, "unknown")
            raise


async def _end_of(handle: WorkflowHandle[object, object]) -> tuple[str, str | None]:
    try:
        return str(await handle.result()), None
    except WorkflowFailureError as exc:
        return "failed", str(exc.cause)  # begins with the code of iii


async def _fire_of(described: ScheduleDescription) -> CronFire | None:
    """Return what a schedule fires; `None` when somebody else made it, under a name like ours."""
    action = described.schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != WorkflowType.CRON_FIRE:
        return None
    payloads = [each for each in action.args if isinstance(each, Payload)]
    (fire,) = await described.data_converter.decode(payloads, [CronFire])
    assert isinstance(fire, CronFire)  # noqa: S101 - what it was decoded as
    return fire


def _pause_of(note: str | None) -> Pause:
    since_ms = away_since_ms(note)
    if since_ms is None:
        return Pause("person", note or None)
    return Pause("bridge", since=datetime.fromtimestamp(since_ms / 1000, UTC))


def _workflow_ids(described: ScheduleDescription) -> list[str]:
    actions = [each.action for each in described.info.recent_actions]
    return [each.workflow_id for each in actions if isinstance(each, ScheduleActionExecutionStartWorkflow)]
