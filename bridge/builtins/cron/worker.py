"""What the `iii-cron` worker offers to the engine: the `cron` trigger type (spec 05 §1)."""

import asyncio
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from zoneinfo import available_timezones

import structlog

from activities.deliveries import DeliveryFailedError
from bridge.builtins.cron.event import cron_event
from bridge.builtins.cron.keeper import CronSettings, ScheduleKeeper, Schedules
from bridge.builtins.cron.trigger import CONFIGURATION_SCHEMA, CronTrigger, read_trigger
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding, TriggerType
from bridge.protocol import payload
from workflows.contract import CronResult, CronTick

__all__ = ["CronTriggers"]

log = structlog.get_logger("bridge.cron")

OWNER_NAME = "iii-cron"

_TEXT = {"type": "string"}
_NS_PER_MS = 1_000_000
_EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "trigger": {"const": "cron"},
        "job_id": _TEXT,
        "scheduled_time": _TEXT,
        "actual_time": _TEXT,
    },
    "required": ["trigger", "job_id", "scheduled_time", "actual_time"],
}


class CronTriggers:
    """Runs functions by the clock: every trigger has a schedule in Temporal, which calls back with `fire`.

    Args:
        engine: Runs the functions.
        schedules: Where schedules are.
        settings: How they are kept.
        now_ns: The Unix time.
        elsewhere: Where those are whose functions are in certain namespaces of iii.
    """

    def __init__(
        self,
        engine: Engine,
        schedules: Schedules,
        settings: CronSettings,
        now_ns: Callable[[], int],
        elsewhere: Mapping[str, Schedules] = MappingProxyType({}),
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._now_ns = now_ns
        places = dict.fromkeys((schedules, *elsewhere.values()))
        self._keepers = {each: ScheduleKeeper(each, settings, self._now_ms) for each in places}
        self._keeper = self._keepers[schedules]
        self._elsewhere = {namespace: self._keepers[each] for namespace, each in elsewhere.items()}
        self._bound: dict[str, dict[str, CronTrigger]] = {}
        self._keys: dict[str, str] = {}

    def register(self, engine: Engine) -> None:
        """Offer the `cron` trigger type."""
        engine.add_trigger_type(
            TriggerType(
                id="cron",
                description="Cron-based scheduled triggers",
                provider=self,
                owner_name=OWNER_NAME,
                configuration_schema=payload.encode(CONFIGURATION_SCHEMA),
                request_schema=payload.encode(_EVENT_SCHEMA),
            )
        )

    async def run(self) -> None:
        """Keep the schedules in line with the triggers, for as long as Temporal takes to be reached.

        Cancellation: safe; call `close` afterwards.
        """
        async with asyncio.TaskGroup() as tasks:
            for keeper in self._keepers.values():
                tasks.create_task(keeper.run(), name="keep schedules")

    async def close(self) -> None:
        """Pause the schedules this bridge keeps. Call it after `run` has ended and the workers are gone.

        Cancellation: schedules that are not paused yet stay active; their fires find nobody and are skipped.
        """
        async with asyncio.TaskGroup() as tasks:
            for keeper in self._keepers.values():
                tasks.create_task(keeper.close(), name="pause schedules")

    def bind(self, binding: Binding) -> None:
        """Have a trigger's schedule run.

        Raises:
            TriggerRejectedError: The configuration cannot be used.
        """
        trigger = read_trigger(binding, _timezones())
        if trigger.expression.next_after(self._now()) is None:
            log.warning(
                "trigger never fires: its expression matches no time to come",
                trigger_id=binding.id,
                function_id=binding.function_id,
                expression=trigger.config.expression,
            )
        self._keys[binding.id] = trigger.key
        self._bound.setdefault(trigger.key, {})[binding.id] = trigger
        self._want(trigger)

    def unbind(self, binding: Binding) -> None:
        """Have a trigger's schedule paused if its worker left, deleted if it was unregistered.

        It stays as it is as long as another trigger asks for it.
        """
        key = self._keys.pop(binding.id, None)
        if key is None:
            return
        del self._bound[key][binding.id]
        if remaining := self._newest(key):
            self._want(remaining)
            return
        del self._bound[key]
        # The engine forgets a worker before it takes the worker's triggers out of force.
        if binding.owner is not None and binding.owner.id not in self._engine.workers:
            self._keeper_of(binding).let_go(key)
        else:
            self._keeper_of(binding).drop(key)

    async def fire(self, tick: CronTick) -> str:
        """Run the function of a schedule's trigger because its time has come.

        Returns:
            A `CronResult`: `nobody` when no such trigger is bound here now, `skipped` when the condition
            objected or the fire comes too late.

        Raises:
            DeliveryFailedError: The function failed, or nobody offers it.

        Cancellation: the function keeps running, its outcome is dropped.
        """
        if self._now_ms() - tick.started_at_ms > tick.fire.catchup_window_ms:
            log.info("fire skipped: too late", schedule=tick.fire.key, scheduled_at_ms=tick.scheduled_at_ms)
            return CronResult.SKIPPED
        trigger = self._newest(tick.fire.key)
        if trigger is None:
            return CronResult.NOBODY
        event = cron_event(
            job_id=trigger.binding.id, scheduled_at_ms=tick.scheduled_at_ms, actual_at_ns=self._now_ns()
        )
        outcome = await self._engine.fire(
            trigger.binding, event, condition_function_id=trigger.config.condition_function_id
        )
        if outcome is None:
            return CronResult.SKIPPED
        if outcome.error is not None:
            log.warning(
                "cron trigger failed",
                trigger_id=trigger.binding.id,
                function_id=trigger.binding.function_id,
                error=outcome.error.message,
            )
            raise DeliveryFailedError(outcome.error.code, outcome.error.message, outcome.error.stacktrace)
        return CronResult.RAN

    def _want(self, trigger: CronTrigger) -> None:
        plan = trigger.plan(heartbeat_timeout_ms=self._settings.heartbeat_timeout_ms)
        self._keeper_of(trigger.binding).want(trigger.key, plan)

    def _keeper_of(self, binding: Binding) -> ScheduleKeeper:
        return self._elsewhere.get(binding.namespace, self._keeper)

    def _newest(self, key: str) -> CronTrigger | None:
        return next(reversed(self._bound.get(key, {}).values()), None)

    def _now_ms(self) -> int:
        return self._now_ns() // _NS_PER_MS

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC)


@cache
def _timezones() -> AbstractSet[str]:
    """Return the names of all time zones; read from disk once."""
    return available_timezones()
