"""What functions change of a schedule, and whether Temporal has taken the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from google.protobuf.message import Message
from msgspec import UNSET, UnsetType
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import ScheduleOverlapPolicy as OverlapPolicy
from temporalio.api.schedule.v1 import Schedule
from temporalio.converter import DataConverter, encode_search_attributes

from bridge.engine.workflow_schedules import ScheduleChanges
from bridge.temporal.interop.access import raw_values, retry_policy
from bridge.temporal.interop.attributes import typed_attributes
from bridge.temporal.interop.schedule_specs import is_kept_as, spec_of

__all__ = ["Changes", "encoded", "is_lost"]


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes whose payloads are as Temporal keeps them.

    Attributes:
        asked: The changes.
        arguments: What the workflow is given.
        memo: What its memo has.
    """

    asked: ScheduleChanges
    arguments: list[Payload]
    memo: Mapping[str, Payload]

    def applied(self, schedule: Schedule) -> Schedule:
        """Return what becomes of a schedule."""
        changed = Schedule()
        changed.CopyFrom(schedule)
        self._change_action(changed)
        self._change_action_options(changed)
        self._change_policies(changed)
        self._change_state(changed)
        if self.asked.spec is not UNSET:
            spec = spec_of(self.asked.spec)
            if not is_kept_as(spec, schedule.spec):
                changed.spec.CopyFrom(spec)
        return changed

    def _change_action(self, schedule: Schedule) -> None:
        asked, action = self.asked, schedule.action.start_workflow
        if asked.workflow is not UNSET:
            action.workflow_type.name = asked.workflow
        if asked.task_queue is not UNSET:
            action.task_queue.name = asked.task_queue
        if asked.has_arguments:
            action.ClearField("input")
            action.input.payloads.extend(self.arguments)
        if asked.memo is not UNSET:
            action.ClearField("memo")
            for name, value in self.memo.items():
                action.memo.fields[name].CopyFrom(value)

    def _change_action_options(self, schedule: Schedule) -> None:
        asked, action = self.asked, schedule.action.start_workflow
        _set_span(action, "workflow_execution_timeout", asked.execution_timeout_ms)
        _set_span(action, "workflow_run_timeout", asked.run_timeout_ms)
        _set_span(action, "workflow_task_timeout", asked.task_timeout_ms)
        if asked.retry is not UNSET:
            action.ClearField("retry_policy")
            if (policy := retry_policy(asked.retry)) is not None:
                policy.apply_to_proto(action.retry_policy)
        if asked.search_attributes is not UNSET:
            action.ClearField("search_attributes")
            encode_search_attributes(typed_attributes(asked.search_attributes), action.search_attributes)

    def _change_policies(self, schedule: Schedule) -> None:
        asked, policies = self.asked, schedule.policies
        _set_span(policies, "catchup_window", asked.catchup_window_ms)
        if asked.overlap is not UNSET:
            policies.overlap_policy = OverlapPolicy.Value(f"SCHEDULE_OVERLAP_POLICY_{asked.overlap.upper()}")
        if asked.pause_on_failure is not UNSET:
            policies.pause_on_failure = asked.pause_on_failure

    def _change_state(self, schedule: Schedule) -> None:
        asked, state = self.asked, schedule.state
        if asked.paused is not UNSET:
            state.paused = asked.paused
        if asked.note is not UNSET:
            state.notes = asked.note or ""
        if asked.remaining_runs is not UNSET:
            state.limited_actions = asked.remaining_runs is not None
            state.remaining_actions = asked.remaining_runs or 0


async def encoded(asked: ScheduleChanges, converter: DataConverter) -> Changes:
    """Return changes with their payloads encoded, once for all attempts to make them."""
    memo = {} if asked.memo is UNSET else asked.memo
    return Changes(
        asked,
        await _payloads(asked.arguments, converter),
        dict(zip(memo, await _payloads(tuple(memo.values()), converter), strict=True)),
    )


def is_lost(before: Schedule, sent: Schedule, now: Schedule) -> bool:
    """Tell whether Temporal has dropped an update: something that it was to change is as it was.

    Temporal drops an update that was made from an older state of the schedule, and tells nobody. What is
    neither as it was nor as it was sent has been changed by somebody else since, as if after us.
    """
    old, new, found = _fields(before), _fields(sent), _fields(now)
    names = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return any(found.get(name) == old.get(name) for name in names)


def _fields(schedule: Schedule) -> dict[str, Any]:
    parts: tuple[Message, ...] = (schedule.action.start_workflow, schedule.policies, schedule.state)
    fields = {field.full_name: value for part in parts for field, value in part.ListFields()}
    return fields | {"spec": schedule.spec}


async def _payloads(values: tuple[msgspec.Raw, ...], converter: DataConverter) -> list[Payload]:
    return await converter.encode(raw_values(values)) if values else []


def _set_span(message: Any, name: str, value: int | UnsetType | None) -> None:
    if value is UNSET:
        return
    message.ClearField(name)
    if value is not None:
        getattr(message, name).FromMilliseconds(value)
