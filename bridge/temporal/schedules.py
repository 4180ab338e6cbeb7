"""Schedules in Temporal: what the cron trigger asks for, in names and notes that people can read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleHandle,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from bridge.errors import EngineError, TriggerRejectedError
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.schedule_notes import away_note, away_since_ms, keeper_of, kept_note
from workflows.contract import CronFire, SearchAttribute, Tenancy, WorkflowType
from workflows.names import schedule_id, task_queue

__all__ = ["KnownSchedule", "TemporalSchedules", "temporal_errors"]

_RPC_TIMEOUT = timedelta(seconds=10)
_SUMMARY_LENGTH = 200


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """A schedule of ours that exists.

    Attributes:
        key: Its id without what all of ours begin with.
        is_paused: Whether it does not fire, whoever paused it.
        away_since_ms: Since when its worker is away, if that is why a bridge paused it.
        keeper: The bridge that keeps it running, if one does.
    """

    key: str
    is_paused: bool
    away_since_ms: int | None = None
    keeper: str | None = None


class TemporalSchedules:
    """The schedules of cron triggers.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy

    @property
    def identity(self) -> str:
        """The name under which this bridge polls Temporal, and keeps schedules."""
        return self._connection.client.identity

    async def wait(self) -> None:
        """Return once Temporal has been reached.

        Cancellation: safe.
        """
        await self._connection.wait()

    async def living_keepers(self) -> set[str]:
        """Name the bridges that poll for fires; one that ended is named for some minutes more.

        Raises:
            EngineError: Temporal did not answer.
        """
        client = self._connection.client
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue(self._tenancy())),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        with temporal_errors():
            description = await client.workflow_service.describe_task_queue(
                request, retry=True, timeout=_RPC_TIMEOUT
            )
        return {poller.identity for poller in description.pollers}

    async def list(self) -> list[KnownSchedule]:
        """List all schedules, as visibility knows them: perhaps as they were a moment ago.

        Raises:
            EngineError: Temporal did not answer.
        """
        query = f"ScheduleId STARTS_WITH '{self._id('')}'"
        with temporal_errors():
            found = await self._connection.client.list_schedules(query, rpc_timeout=_RPC_TIMEOUT)
            return [
                self._known(entry.id, paused=entry.schedule.state.paused, note=entry.schedule.state.note)
                async for entry in found
                if entry.schedule is not None
            ]

    async def find(self, key: str) -> KnownSchedule | None:
        """Return a schedule as it is now.

        Raises:
            EngineError: Temporal did not answer.
        """
        with temporal_errors():
            try:
                description = await self._handle(key).describe(rpc_timeout=_RPC_TIMEOUT)
            except RPCError as exc:
                if exc.status is RPCStatusCode.NOT_FOUND:
                    return None
                raise
        state = description.schedule.state
        return self._known(description.id, paused=state.paused, note=state.note)

    async def keep(self, key: str, fire: CronFire, spec: ScheduleSpec, policy: SchedulePolicy) -> None:
        """Create or update a schedule; it runs from now on, unless a person paused it.

        Raises:
            TriggerRejectedError: Temporal does not accept it and never will.
            EngineError: Temporal did not answer.
        """
        schedule = Schedule(
            action=self._action(key, fire),
            spec=spec,
            policy=policy,
            state=ScheduleState(note=kept_note(self.identity)),
        )

        def update(current: ScheduleUpdateInput) -> ScheduleUpdate:
            state = self._kept(current.description.schedule.state)
            return ScheduleUpdate(replace(schedule, state=state))

        with temporal_errors():
            try:
                await self._create_or_update(key, schedule, update)
            except RPCError as exc:
                if exc.status is RPCStatusCode.INVALID_ARGUMENT:
                    raise TriggerRejectedError(f"Temporal refused the schedule: {exc.message}") from exc
                raise

    async def pause(self, key: str, since_ms: int) -> None:
        """Pause a schedule whose worker is away since then; a pause by a person stays that person's.

        Raises:
            EngineError: Temporal did not answer.
        """

        def update(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
            schedule = current.description.schedule
            if schedule.state.paused:
                return None
            return ScheduleUpdate(
                replace(schedule, state=replace(schedule.state, paused=True, note=away_note(since_ms)))
            )

        with temporal_errors():
            await self._handle(key).update(update, rpc_timeout=_RPC_TIMEOUT)

    async def delete(self, key: str) -> None:
        """Delete a schedule; does nothing when there is none.

        Raises:
            EngineError: Temporal did not answer.
        """
        with temporal_errors():
            try:
                await self._handle(key).delete(rpc_timeout=_RPC_TIMEOUT)
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise

    async def _create_or_update(
        self, key: str, schedule: Schedule, update: Callable[[ScheduleUpdateInput], ScheduleUpdate]
    ) -> None:
        try:
            await self._connection.client.create_schedule(self._id(key), schedule, rpc_timeout=_RPC_TIMEOUT)
        except ScheduleAlreadyRunningError:
            await self._handle(key).update(update, rpc_timeout=_RPC_TIMEOUT)

    def _kept(self, state: ScheduleState) -> ScheduleState:
        """Undo our own pause, and nobody else's."""
        if state.paused and away_since_ms(state.note) is None:
            return state
        return replace(state, paused=False, note=kept_note(self.identity))

    def _action(self, key: str, fire: CronFire) -> ScheduleActionStartWorkflow:
        tenancy = self._tenancy()
        attributes = TypedSearchAttributes.empty
        if tenancy.has_search_attributes:
            function = SearchAttributeKey.for_keyword(SearchAttribute.FUNCTION)
            attributes = TypedSearchAttributes([SearchAttributePair(function, fire.function_id)])
        return ScheduleActionStartWorkflow(
            WorkflowType.CRON_FIRE,
            fire,
            id=self._id(key),  # Temporal adds the time
            task_queue=task_queue(tenancy),
            typed_search_attributes=attributes,
            static_summary=f"{fire.function_id} at {fire.expression}"[:_SUMMARY_LENGTH],
        )

    def _handle(self, key: str) -> ScheduleHandle:
        return self._connection.client.get_schedule_handle(self._id(key))

    def _id(self, key: str) -> str:
        return schedule_id(self._tenancy(), key)

    def _known(self, found_id: str, *, paused: bool, note: str | None) -> KnownSchedule:
        return KnownSchedule(
            key=found_id.removeprefix(self._id("")),
            is_paused=paused,
            away_since_ms=away_since_ms(note) if paused else None,
            keeper=None if paused else keeper_of(note),
        )


@contextmanager
def temporal_errors() -> Iterator[None]:
    """Have errors of Temporal's interface rise as `EngineError`."""
    try:
        yield
    except RPCError as exc:
        raise EngineError(f"Temporal did not answer ({exc.status.name}): {exc.message}") from exc
