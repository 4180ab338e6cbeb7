"""Schedules without Temporal, and an engine to bind triggers to."""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from temporalio.client import SchedulePolicy, ScheduleSpec

from bridge.builtins.cron import CronSettings, CronTriggers
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import Function
from bridge.engine.triggers import Binding
from bridge.engine.workers import Worker
from bridge.errors import EngineError, TriggerRejectedError
from bridge.protocol import payload
from bridge.protocol.outbound import OutboundMessage
from bridge.protocol.payload import ABSENT
from workflows.contract import CronFire, CronTick

HERE = "bridge-here"
NOW_NS = 1_772_619_630_400_000_000  # 2026-03-04T10:20:30.4Z


@dataclass(frozen=True)
class FakeSchedule:
    key: str
    fire: CronFire | None = None
    spec: ScheduleSpec | None = None
    policy: SchedulePolicy | None = None
    is_paused: bool = False
    away_since_ms: int | None = None
    keeper: str | None = None


@dataclass(eq=False)
class FakeSchedules:
    """Schedules in memory, with what Temporal promises of them."""

    identity: str = HERE
    living: set[str] = field(default_factory=lambda: {HERE})
    kept: dict[str, FakeSchedule] = field(default_factory=dict)
    unreachable_for: int = 0
    refuses: set[str] = field(default_factory=set)
    calls: list[tuple[str, str]] = field(default_factory=list)
    called: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    def put(self, key: str, **state: Any) -> None:
        self.kept[key] = FakeSchedule(key, **state)

    async def wait(self) -> None:
        pass

    async def living_keepers(self) -> set[str]:
        self._reach()
        return self.living

    async def list(self) -> list[FakeSchedule]:
        self._reach()
        return list(self.kept.values())

    async def find(self, key: str) -> FakeSchedule | None:
        self._reach()
        return self.kept.get(key)

    async def keep(self, key: str, fire: CronFire, spec: ScheduleSpec, policy: SchedulePolicy) -> None:
        self._reach()
        self._record("keep", key)
        if fire.function_id in self.refuses:
            raise TriggerRejectedError("unknown time zone")
        current = self.kept.get(key)
        if current and current.is_paused and current.away_since_ms is None:
            self.kept[key] = replace(current, fire=fire, spec=spec, policy=policy)
        else:
            self.kept[key] = FakeSchedule(key, fire, spec, policy, keeper=self.identity)

    async def pause(self, key: str, since_ms: int) -> None:
        self._reach()
        self._record("pause", key)
        self.kept[key] = replace(self.kept[key], is_paused=True, away_since_ms=since_ms, keeper=None)

    async def delete(self, key: str) -> None:
        self._reach()
        self._record("delete", key)
        self.kept.pop(key, None)

    def pause_by_hand(self, key: str) -> None:
        self.kept[key] = replace(self.kept[key], is_paused=True, keeper=None)

    def only(self) -> FakeSchedule:
        (schedule,) = self.kept.values()
        return schedule

    def _record(self, call: str, key: str) -> None:
        self.calls.append((call, key))
        self.called[call].set()

    def _reach(self) -> None:
        if self.unreachable_for > 0:
            self.unreachable_for -= 1
            raise EngineError("Temporal did not answer")


class CronHarness:
    """An engine with the cron trigger; time stands still unless a test moves it."""

    def __init__(self) -> None:
        ids = itertools.count(1)
        self.now_ns = NOW_NS
        self.schedules = FakeSchedules()
        self.settings = CronSettings(orphan_timeout_ms=60_000, retry_pause_ms=0)
        self.engine = Engine(spawn=self._spawn, new_id=lambda: f"00000000-0000-0000-0000-{next(ids):012}")
        self.cron = CronTriggers(self.engine, self.schedules, self.settings, lambda: self.now_ns)
        self.cron.register(self.engine)
        self.sent: list[OutboundMessage] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def now_ms(self) -> int:
        return self.now_ns // 1_000_000

    def worker(self, worker_id: str = "worker-1") -> Worker:
        worker = Worker(
            id=worker_id,
            send=self.sent.append,
            abort=lambda: None,
            reattach_token="token",
            connected_at_ms=0,
        )
        self.engine.connect(worker)
        return worker

    def bind(
        self,
        config: Any,
        *,
        function_id: str = "reports::nightly",
        trigger_id: str = "trigger-1",
        owner: Worker | None = None,
        metadata: Any = None,
        namespace: str = "default",
    ) -> Binding:
        binding = Binding(
            id=trigger_id,
            trigger_type="cron",
            function_id=function_id,
            config=payload.encode(config),
            metadata=ABSENT if metadata is None else payload.encode(metadata),
            namespace=namespace,
            owner=owner,
        )
        self.engine.triggers.bind(binding)
        return binding

    def offer(self, function_id: str, behaviour: Callable[[Any], Any], *, namespace: str = "default") -> None:
        """Offer a function; what it raises is its error."""

        async def handle(call: Call) -> msgspec.Raw:
            self.metadata = call.metadata
            return payload.encode(behaviour(json.loads(bytes(call.data))))

        self.engine.functions.offer(Function(function_id, namespace, handle))

    async def settle(self) -> None:
        await self.cron._keeper.settle()

    async def sweep(self) -> None:
        await self.cron._keeper.sweep()

    async def fire(self, fire: CronFire, *, scheduled_at_ms: int | None = None, late_ms: int = 0) -> str:
        return await self.cron.fire(
            CronTick(fire, scheduled_at_ms or self.now_ms, started_at_ms=self.now_ms - late_ms)
        )

    async def fire_only(self, **tick: Any) -> str:
        """Fire the only schedule there is."""
        await self.settle()
        fire = self.schedules.only().fire
        assert fire is not None
        return await self.fire(fire, **tick)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have the schedules kept in line while the body runs."""
        task = asyncio.create_task(self.cron.run(), name="cron")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
