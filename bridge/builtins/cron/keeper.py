"""Keeps Temporal's schedules in line with the triggers that are bound here (design §8).

Several bridges may share the schedules. Each one that keeps a schedule running writes its name on it; a
schedule that a living bridge keeps is left alone by the others, one whose keeper is gone is paused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from temporalio.client import SchedulePolicy, ScheduleSpec

from bridge.builtins.cron.trigger import Plan
from bridge.errors import BridgeError, TriggerRejectedError
from workflows.contract import CronFire

__all__ = ["CronSettings", "KnownSchedule", "ScheduleKeeper", "Schedules"]

log = structlog.get_logger("bridge.cron")

_CONCURRENT_CHANGES = 8
_LONGEST_PAUSE_MS = 5000


@dataclass(frozen=True, slots=True)
class CronSettings:
    """How schedules are kept.

    Attributes:
        orphan_timeout_ms: After how long a schedule whose worker does not return is deleted.
        sweep_interval_ms: How often all schedules are looked at: it finds those that another bridge left.
        heartbeat_timeout_ms: How soon Temporal notices that the bridge running a fire is gone.
        retry_pause_ms: The first pause when Temporal cannot be reached; every further one is twice as long.
    """

    orphan_timeout_ms: int = 24 * 3600 * 1000
    sweep_interval_ms: int = 15_000
    heartbeat_timeout_ms: int = 10_000
    retry_pause_ms: int = 250


class KnownSchedule(Protocol):
    """A schedule that exists."""

    @property
    def key(self) -> str:
        """Its name among the schedules of the bridges."""

    @property
    def is_paused(self) -> bool:
        """Whether it does not fire, whoever paused it."""

    @property
    def away_since_ms(self) -> int | None:
        """Since when its worker is away, if that is why a bridge paused it; `None` if a person did."""

    @property
    def keeper(self) -> str | None:
        """The bridge that keeps it running, if one does."""


class Schedules(Protocol):
    """Where schedules are; every method raises `EngineError` when that cannot be reached."""

    @property
    def identity(self) -> str:
        """The name of this bridge as a keeper."""

    async def wait(self) -> None:
        """Return once it has been reached."""

    async def living_keepers(self) -> Collection[str]:
        """Name the bridges that can run fires now."""

    async def list(self) -> Sequence[KnownSchedule]:
        """List every schedule of the bridges, perhaps as it was a moment ago."""

    async def find(self, key: str) -> KnownSchedule | None:
        """Return a schedule as it is now."""

    async def keep(self, key: str, fire: CronFire, spec: ScheduleSpec, policy: SchedulePolicy) -> None:
        """Create or update a schedule; it runs from now on, unless a person paused it.

        Raises:
            TriggerRejectedError: It is not accepted and never will be.
        """

    async def pause(self, key: str, since_ms: int) -> None:
        """Pause a schedule whose worker is away since then; a pause by a person stays that person's."""

    async def delete(self, key: str) -> None:
        """Delete a schedule; does nothing when there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Keep:
    """The schedule is wanted here."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pause:
    """Its worker left."""

    since_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class _Delete:
    """Its trigger was unregistered."""


@dataclass(frozen=True, slots=True, eq=False)
class _Clean:
    """Its worker has been away for too long."""


_Change = _Keep | _Pause | _Delete | _Clean


@dataclass(slots=True)
class _Pass:
    """One go through the changes; the first failure ends it.

    Attributes:
        others: The other living bridges.
    """

    others: Collection[str]
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENT_CHANGES))
    failure: BridgeError | None = None


class ScheduleKeeper:
    """Notes what changes, and carries it out as soon as Temporal can be reached.

    What is noted is one change per schedule, the latest; so it is bounded by the number of triggers.

    Args:
        schedules: Where schedules are.
        settings: How they are kept.
        now_ms: The Unix time.
    """

    def __init__(self, schedules: Schedules, settings: CronSettings, now_ms: Callable[[], int]) -> None:
        self._schedules = schedules
        self._settings = settings
        self._now_ms = now_ms
        self._wanted: dict[str, Plan] = {}
        self._refused: dict[str, Plan] = {}
        self._changes: dict[str, _Change] = {}
        self._changed = asyncio.Event()
        self._is_connected = False

    def want(self, key: str, plan: Plan) -> None:
        """Have a schedule run."""
        if self._wanted.get(key) != plan:
            self._wanted[key] = plan
            self._note(key, _Keep())

    def let_go(self, key: str) -> None:
        """Have a schedule paused, because its worker left."""
        self._wanted.pop(key, None)
        self._note(key, _Pause(self._now_ms()))

    def drop(self, key: str) -> None:
        """Have a schedule deleted, because its trigger was unregistered."""
        self._wanted.pop(key, None)
        self._note(key, _Delete())

    async def run(self) -> None:
        """Carry out what changes, and look at all schedules now and then.

        Cancellation: safe; what has not been carried out is left to `close`.
        """
        await self._schedules.wait()
        self._is_connected = True
        now_s = asyncio.get_running_loop().time
        while True:
            await self._until_done(self.sweep)
            next_sweep_s = now_s() + self._settings.sweep_interval_ms / 1000
            while now_s() < next_sweep_s and await self._has_changed_before(next_sweep_s):
                await self._until_done(self.settle)

    async def close(self) -> None:
        """Pause what this bridge keeps: while it is stopped it fires nothing. Call it after `run` has ended.

        Cancellation: schedules that are not paused yet stay active; their fires find nobody and are skipped.
        """
        if not self._is_connected:
            return
        for key in list(self._wanted):
            self.let_go(key)
        try:
            await self.settle()
        except BridgeError as exc:
            log.warning("schedules not paused; their fires will be skipped", reason=str(exc))

    async def settle(self) -> None:
        """Carry out what has changed.

        Raises:
            EngineError: Temporal cannot be reached; the rest stays noted.
        """
        while self._changes:
            self._changed.clear()
            changes = list(self._changes.items())
            needs_others = any(not isinstance(change, _Keep) for _, change in changes)
            current = _Pass(await self._other_keepers() if needs_others else ())
            async with asyncio.TaskGroup() as tasks:
                for key, change in changes:
                    tasks.create_task(self._carry_out(key, change, current), name=f"schedule {key}")
            if current.failure is not None:
                raise current.failure

    async def sweep(self) -> None:
        """Look at all schedules, and carry out what is missing.

        Raises:
            EngineError: Temporal cannot be reached.
        """
        others = await self._other_keepers()
        known = {each.key: each for each in await self._schedules.list()}
        for key, plan in self._wanted.items():
            if self._refused.get(key) != plan and self._needs_keeping(known.get(key), others):
                self._changes.setdefault(key, _Keep())
        for key, schedule in known.items():
            if key in self._wanted:
                continue
            if self._is_orphan(schedule):
                self._changes.setdefault(key, _Clean())
            elif not schedule.is_paused and schedule.keeper not in others:
                self._changes.setdefault(key, _Pause(self._now_ms()))
        await self.settle()

    def _note(self, key: str, change: _Change) -> None:
        self._changes[key] = change
        self._changed.set()

    async def _has_changed_before(self, deadline_s: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        pause_ms = self._settings.retry_pause_ms
        has_failed = False
        while True:
            try:
                await work()
            except BridgeError as exc:
                if not has_failed:
                    log.warning("schedules not in line with the triggers; trying again", reason=str(exc))
                has_failed = True
                await asyncio.sleep(pause_ms / 1000)
                pause_ms = min(pause_ms * 2, _LONGEST_PAUSE_MS)
            else:
                if has_failed:
                    log.info("schedules in line with the triggers again")
                return

    async def _other_keepers(self) -> Collection[str]:
        return set(await self._schedules.living_keepers()) - {self._schedules.identity}

    async def _carry_out(self, key: str, change: _Change, current: _Pass) -> None:
        async with current.slots:
            if current.failure is not None or self._changes.get(key) is not change:
                return
            try:
                await self._apply(key, change, current.others)
            except BridgeError as exc:
                current.failure = exc
                if self._changes.get(key) is change:  # at the end, where it holds up no other
                    self._changes[key] = self._changes.pop(key)
                return
        if self._changes.get(key) is change:
            del self._changes[key]

    async def _apply(self, key: str, change: _Change, others: Collection[str]) -> None:
        if isinstance(change, _Keep):
            await self._keep(key, self._wanted[key])
            return
        schedule = await self._schedules.find(key)
        if schedule is None:
            return
        is_kept_elsewhere = not schedule.is_paused and schedule.keeper in others
        match change:
            case _Pause(since_ms):
                if not schedule.is_paused and not is_kept_elsewhere:
                    await self._schedules.pause(key, since_ms)
            case _Delete():
                if not is_kept_elsewhere:
                    await self._schedules.delete(key)
            case _Clean():
                if self._is_orphan(schedule):
                    log.info("schedule deleted: its worker did not return", schedule=key)
                    await self._schedules.delete(key)

    async def _keep(self, key: str, plan: Plan) -> None:
        try:
            await self._schedules.keep(key, plan.fire, plan.spec, plan.policy)
        except TriggerRejectedError as exc:
            self._refused[key] = plan
            log.error("trigger does not fire: Temporal refuses its schedule", schedule=key, reason=str(exc))  # noqa: TRY400 - the reason is Temporal's
        else:
            self._refused.pop(key, None)

    def _needs_keeping(self, schedule: KnownSchedule | None, others: Collection[str]) -> bool:
        if schedule is None or schedule.away_since_ms is not None:
            return True
        return not schedule.is_paused and schedule.keeper not in {*others, self._schedules.identity}

    def _is_orphan(self, schedule: KnownSchedule) -> bool:
        since_ms = schedule.away_since_ms
        return since_ms is not None and self._now_ms() - since_ms >= self._settings.orphan_timeout_ms
