"""Schedules that functions make for other people's workflows."""

from datetime import timedelta

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)

from bridge.engine.workflows import CreateSchedule, ScheduleView, WhichSchedule
from bridge.errors import FunctionFailedError
from bridge.temporal.interop.access import Namespaces, raw_values, retry_policy, span
from bridge.temporal.interop.failures import failures
from bridge.temporal.interop.rules import WorkflowRules

__all__ = ["TemporalWorkflowSchedules"]

_RPC_TIMEOUT = timedelta(seconds=10)
_CATCHUP_WINDOW = timedelta(days=365)
_OVERLAPS = {policy.name.lower(): policy for policy in ScheduleOverlapPolicy}


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
        self._rules.check(asked.workflow, asked.task_queue, asked.namespace or self._namespaces.home)
        self._rules.check_id(asked.schedule_id)
        action = ScheduleActionStartWorkflow(
            asked.workflow,
            args=raw_values(asked.arguments),
            id=asked.schedule_id,
            task_queue=asked.task_queue,
            execution_timeout=span(asked.execution_timeout_ms),
            run_timeout=span(asked.run_timeout_ms),
            task_timeout=span(asked.task_timeout_ms),
            retry_policy=retry_policy(asked.retry),
            memo=dict(zip(asked.memo, raw_values(asked.memo.values()), strict=True)),
        )
        interval = asked.spec.every_ms
        schedule = Schedule(
            action=action,
            spec=ScheduleSpec(
                cron_expressions=list(asked.spec.cron),
                intervals=[ScheduleIntervalSpec(timedelta(milliseconds=interval))] if interval else [],
                time_zone_name=asked.spec.time_zone,
            ),
            policy=SchedulePolicy(
                overlap=_OVERLAPS[asked.overlap],
                catchup_window=span(asked.catchup_window_ms) or _CATCHUP_WINDOW,
            ),
            state=ScheduleState(note=asked.note, paused=asked.paused),
        )
        async with failures():
            client = self._namespaces.client(asked.namespace)
            await client.create_schedule(asked.schedule_id, schedule, rpc_timeout=_RPC_TIMEOUT)

    async def describe(self, asked: WhichSchedule) -> ScheduleView:
        """Describe a schedule."""
        found, action = await self._find(asked)
        return ScheduleView(
            schedule_id=found.id,
            workflow=str(action.workflow),
            task_queue=action.task_queue,
            paused=found.schedule.state.paused,
            note=found.schedule.state.note,
            runs=found.info.num_actions,
            next_at_ms=[int(each.timestamp() * 1000) for each in found.info.next_action_times],
        )

    async def pause(self, asked: WhichSchedule) -> None:
        """Let a schedule start nothing until it is resumed."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.pause(note=asked.note, rpc_timeout=_RPC_TIMEOUT)

    async def resume(self, asked: WhichSchedule) -> None:
        """Let a paused schedule go on."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.unpause(note=asked.note, rpc_timeout=_RPC_TIMEOUT)

    async def trigger(self, asked: WhichSchedule) -> None:
        """Have a schedule start its workflow now."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.trigger(rpc_timeout=_RPC_TIMEOUT)

    async def delete(self, asked: WhichSchedule) -> None:
        """Delete a schedule."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.delete(rpc_timeout=_RPC_TIMEOUT)

    def _handle(self, asked: WhichSchedule) -> ScheduleHandle:
        return self._namespaces.client(asked.namespace).get_schedule_handle(asked.schedule_id)

    async def _permitted(self, asked: WhichSchedule) -> ScheduleHandle:
        await self._find(asked)
        return self._handle(asked)

    async def _find(self, asked: WhichSchedule) -> tuple[ScheduleDescription, ScheduleActionStartWorkflow]:
        self._rules.check_id(asked.schedule_id)
        async with failures():
            found = await self._handle(asked).describe(rpc_timeout=_RPC_TIMEOUT)
        action = found.schedule.action
        if not isinstance(action, ScheduleActionStartWorkflow):
            raise FunctionFailedError("FORBIDDEN", f"{asked.schedule_id} starts no workflow")
        namespace = asked.namespace or self._namespaces.home
        self._rules.check(str(action.workflow), action.task_queue, namespace)
        return found, action
