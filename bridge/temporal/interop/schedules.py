"""Schedules that functions make for other people's workflows."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from temporalio.api.schedule.v1 import Schedule
from temporalio.api.workflowservice.v1 import DescribeScheduleResponse
from temporalio.client import Client, ScheduleBackfill, ScheduleHandle, ScheduleOverlapPolicy

from bridge.engine.workflow_schedules import (
    Backfilled,
    BackfillSchedule,
    ChangeSchedule,
    CreateSchedule,
    ListSchedules,
    Overlap,
    PauseSchedule,
    SchedulePage,
    ScheduleView,
    TriggerSchedule,
    WhichSchedule,
)
from bridge.errors import FunctionFailedError
from bridge.temporal.interop import schedule_requests
from bridge.temporal.interop.access import Namespaces, page_cursor, page_token
from bridge.temporal.interop.failures import failures
from bridge.temporal.interop.rules import WorkflowRules, matches
from bridge.temporal.interop.schedule_changes import encoded
from bridge.temporal.interop.schedule_requests import MOST_TIMES, RPC_TIMEOUT
from bridge.temporal.interop.schedule_views import schedule_view
from bridge.temporal.query_text import quoted

__all__ = ["TemporalWorkflowSchedules"]

_UPDATE_TRIES = 10
_DESCRIBED_AT_ONCE = 8


class TemporalWorkflowSchedules:
    """Schedules of workflows that functions may use.

    Args:
        namespaces: The way to them.
        rules: What is allowed.
    """

    def __init__(self, namespaces: Namespaces, rules: WorkflowRules) -> None:
        self._namespaces = namespaces
        self._rules = rules

    async def create(self, asked: CreateSchedule) -> None:
        """Create a schedule; the workflows it starts have its id and the time in theirs."""
        self._rules.check(asked.workflow, asked.task_queue, self._namespace(asked))
        self._rules.check_id(asked.schedule_id)
        async with failures():
            client = self._client(asked)
            schedule = (await encoded(asked, client.data_converter)).applied(Schedule())
            schedule.action.start_workflow.workflow_id = asked.schedule_id
            await schedule_requests.create(client, asked.schedule_id, schedule)

    async def update(self, asked: ChangeSchedule) -> None:
        """Change a schedule, and nothing that others change at the same time."""
        client = self._client(asked)
        changes = await encoded(asked, client.data_converter)
        for _ in range(_UPDATE_TRIES):
            found = await self._find(asked)
            wanted = changes.applied(found.schedule)
            self._check(wanted, asked)
            if wanted == found.schedule:
                return
            async with failures():
                if await schedule_requests.update(client, asked.schedule_id, found, wanted):
                    return
        raise FunctionFailedError(
            "schedule_conflict",
            f"The update of {asked.schedule_id} was tried {_UPDATE_TRIES} times, and each time somebody else "
            "had just changed it; try again",
        )

    async def describe(self, asked: WhichSchedule) -> ScheduleView:
        """Describe a schedule."""
        return schedule_view(asked.schedule_id, self._namespace(asked), await self._find(asked))

    async def list(self, asked: ListSchedules) -> SchedulePage:
        """List schedules: those of a page of Temporal's visibility that are meant, perhaps none."""
        namespace = asked.namespace or self._namespaces.home
        patterns = [rule.workflow for rule in self._rules.of(namespace)]
        async with failures():
            page = await schedule_requests.list_page(
                self._namespaces.client(asked.namespace),
                self._query(asked),
                asked.limit,
                page_token(asked.cursor),
            )
        # The listing tells the type, but not the task queue, without which the rules cannot decide.
        types = {each.schedule_id: each.info.workflow_type.name for each in page.schedules}
        candidates = [
            schedule_id
            for schedule_id, workflow in types.items()
            if _is_meant(asked.workflow, workflow) and any(matches(each, workflow) for each in patterns)
        ]
        views = await self._views(candidates, namespace)
        return SchedulePage(
            [each for each in views if _is_meant(asked.task_queue, each.task_queue)],
            page_cursor(page.next_page_token),
        )

    async def pause(self, asked: PauseSchedule) -> None:
        """Let a schedule start nothing until it is resumed."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.pause(note=asked.note, rpc_timeout=RPC_TIMEOUT)

    async def resume(self, asked: PauseSchedule) -> None:
        """Let a paused schedule go on."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.unpause(note=asked.note, rpc_timeout=RPC_TIMEOUT)

    async def trigger(self, asked: TriggerSchedule) -> None:
        """Have a schedule start its workflow now."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.trigger(overlap=_overlap(asked.overlap), rpc_timeout=RPC_TIMEOUT)

    async def backfill(self, asked: BackfillSchedule) -> Backfilled:
        """Have a schedule start its workflow for all its times in the ranges, also when it is paused."""
        handle = await self._permitted(asked)
        async with failures():
            times = await self._count_times(asked)
            if times:
                overlap = _overlap(asked.overlap)
                ranges = [
                    ScheduleBackfill(_time(each.start_ms), _time(each.end_ms), overlap)
                    for each in asked.times
                ]
                await handle.backfill(*ranges, rpc_timeout=RPC_TIMEOUT)
        return Backfilled(times)

    async def delete(self, asked: WhichSchedule) -> None:
        """Delete a schedule."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.delete(rpc_timeout=RPC_TIMEOUT)

    def _namespace(self, asked: WhichSchedule) -> str:
        return asked.namespace or self._namespaces.home

    def _client(self, asked: WhichSchedule) -> Client:
        return self._namespaces.client(asked.namespace)

    async def _permitted(self, asked: WhichSchedule) -> ScheduleHandle:
        await self._find(asked)
        return self._client(asked).get_schedule_handle(asked.schedule_id)

    async def _find(self, asked: WhichSchedule) -> DescribeScheduleResponse:
        self._rules.check_id(asked.schedule_id)
        async with failures():
            found = await schedule_requests.describe(self._client(asked), asked.schedule_id)
        self._check(found.schedule, asked)
        return found

    def _check(self, schedule: Schedule, asked: WhichSchedule) -> None:
        if not schedule.action.HasField("start_workflow"):
            raise FunctionFailedError("FORBIDDEN", f"{asked.schedule_id} starts no workflow")
        action = schedule.action.start_workflow
        self._rules.check(action.workflow_type.name, action.task_queue.name, self._namespace(asked))

    def _query(self, asked: ListSchedules) -> str:
        terms = [f"ScheduleId NOT STARTS_WITH {quoted(self._rules.prefix + '.')}"]
        if asked.schedule_id_prefix is not None:
            terms.append(f"ScheduleId STARTS_WITH {quoted(asked.schedule_id_prefix)}")
        if asked.paused is not None:
            terms.append(f"TemporalSchedulePaused = {str(asked.paused).lower()}")
        return " AND ".join(terms)

    async def _views(self, ids: Iterable[str], namespace: str) -> Sequence[ScheduleView]:
        """Describe those that functions may use; one that was deleted a moment ago may still be listed."""
        slots = asyncio.Semaphore(_DESCRIBED_AT_ONCE)

        async def view(schedule_id: str) -> ScheduleView | None:
            async with slots:
                try:
                    return await self.describe(WhichSchedule(schedule_id=schedule_id, namespace=namespace))
                except FunctionFailedError as exc:
                    if exc.failure_code in {"FORBIDDEN", "not_found"}:
                        return None
                    raise

        views = await asyncio.gather(*map(view, ids))
        return [each for each in views if each is not None]

    async def _count_times(self, asked: BackfillSchedule) -> int:
        client = self._client(asked)
        count = 0
        for each in asked.times:
            count += await schedule_requests.count_times(client, asked.schedule_id, each)
            if count >= MOST_TIMES:
                raise FunctionFailedError(
                    "invalid_arguments",
                    f"The schedule has {MOST_TIMES} times or more in these ranges; give shorter ones, one "
                    "after the other",
                )
        return count


def _is_meant(pattern: str | None, text: str) -> bool:
    return pattern is None or matches(pattern, text)


def _overlap(name: Overlap | None) -> ScheduleOverlapPolicy | None:
    return None if name is None else ScheduleOverlapPolicy[name.upper()]


def _time(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC)
