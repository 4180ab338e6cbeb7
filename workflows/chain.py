"""A chain: everything one message led to, in one history (docs/architecture.md).

The first message is the workflow's argument; what its handlers enqueue arrives as signals and becomes the
next steps. The workflow's type is the first function's id, so that the Web UI reads like the pipeline.

When a step is lost, or the chain is cancelled, and something that has completed has a compensation, no new
step begins, what runs finishes, and the compensations run, the latest first.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityCancellationType

from workflows.burial import bury
from workflows.calls import call, wait_until
from workflows.chain_events import ChainEventType, EventOutbox
from workflows.contract import (
    Activity,
    AttemptFailed,
    ChainStart,
    ChainState,
    Hold,
    LaneStepEnded,
    LateCall,
    Message,
    Parcel,
    Progress,
    Query,
    Signal,
    Standing,
    StepStatus,
    Ticket,
    WatchedEnd,
)
from workflows.delivery import Courier, DeliveryInterruptedError, DeliveryLostError
from workflows.holds import Holds
from workflows.losses import Losses
from workflows.moving import Loaded, json_value, move_to_chains, size_bytes
from workflows.record import ChainRecord
from workflows.results import compensation_of, delivery_id_of
from workflows.run_length import is_long, is_too_long
from workflows.saga import Saga, again, undo_payload
from workflows.step_tasks import StepTasks
from workflows.turns import Turns
from workflows.watching import Watchers, watched_end

__all__ = ["Chain"]

_PATCH = "iii.asks_after_its_lane"
"""Chains of 0.1.0 did not, if a step of their own ended before the lane's."""
# Temporal takes 2 MB of arguments, and events and records go along as well.
_MOST_BYTES_CARRIED = 700_000
_MOST_BYTES_OWED = 400_000
_LARGEST_ROOT_CARRIED = 150_000
_NEVER_COMPLETED = (StepStatus.LOST, StepStatus.DROPPED)


@dataclass
class _Step:
    """A step that has not ended.

    Attributes:
        children: Receipts that its attempts enqueued.
        is_in_line: Whether its lane has been told of it.
    """

    message: Message
    payload: RawValue
    progress: Progress
    children: list[str]
    is_in_line: bool = True

    def load(self, *, home: str | None = None) -> Loaded:
        """Return it as what another run takes over, or another chain under the receipt of its home."""
        message = replace(self.message, home=home or self.message.home, children=tuple(self.children))
        return Parcel(message, self.progress), self.payload


@workflow.defn(dynamic=True)
class Chain:
    """Runs the steps of one chain, each as an activity of its function's name on its queue."""

    @workflow.init
    def __init__(self, args: Sequence[RawValue]) -> None:
        start: ChainStart = workflow.payload_converter().from_payload(args[0].payload, ChainStart)
        payloads = deque(args[1:])
        parcels = [(parcel, payloads.popleft()) for parcel in start.parcels]
        self._tenancy = start.tenancy
        self._lets_attempts_finish = start.lets_attempts_finish
        self._outbox = EventOutbox(start.tenancy, is_watched=start.is_watched, sent=start.events_told)
        self._courier = self._new_courier()
        self._steps: dict[str, _Step] = {}
        self._tasks = StepTasks()
        self._turns = Turns(start.tenancy, start.turns)
        self._known = dict.fromkeys(start.lane_children, 0)
        self._asked_before: set[str] = set()
        self._losses = Losses(start.lost, start.letters)
        self._completed = start.completed
        self._lane_step, self._lane_id = start.lane_step, start.lane_id
        self._lane_children = list(start.lane_children)
        self._record = ChainRecord(start.records)
        self._watchers = Watchers(start.watchers)
        self._saga = Saga([(message, payloads.popleft()) for message in start.owed])
        self._holds = Holds(
            start.tenancy,
            [(hold, payloads.popleft()) for hold in start.holds],
            start.events,
            start.ends,
        )
        self._root = (start.root, payloads.popleft()) if start.root is not None else None
        self._restart: Loaded | None = None
        self._is_cancelled = False
        self._is_undoing = False
        for parcel, payload in parcels:
            self._take(parcel, payload)
        for hold, payload in self._holds.held:
            self._tasks.add(partial(self._run_hold, hold, payload))

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:  # noqa: ARG002 - read in __init__
        """Run until no step is left.

        Returns:
            How many steps completed, in words.

        Raises:
            ApplicationError: A step was lost; its message is among the dead letters.
        """
        try:
            await self._serve()
        except asyncio.CancelledError:
            if not self._lets_attempts_finish:
                self._tasks.cancel()
                await self._tasks.all_end()
                raise
            self._is_cancelled = True
            # What has completed in this very moment is to be known as completed before the rest is cancelled.
            await workflow.wait_condition(lambda: True)
            self._tasks.cancel()
        if self._is_cancelled or self._must_undo():
            await self._undo_whatever_comes()
        if self._restart is not None:
            self._begin_again(*self._restart)
        if self._is_cancelled:
            raise asyncio.CancelledError
        if self._losses:
            raise ApplicationError(self._losses.summary(), type="iii.step_lost", non_retryable=True)
        return f"{self._completed} steps completed"

    @workflow.signal(name=Signal.ENQUEUE)
    def enqueue(self, parcel: Parcel, payload: RawValue) -> None:
        """Take a step that a handler of this chain enqueued, or that was redriven; a known one is ignored."""
        message = parcel.message
        if self._is_undoing and message.compensates is not None:
            self._saga.owe(message, payload)
        elif self._is_undoing and (message.redrives or message.restarts):
            self._restart = self._from_the_beginning() or (parcel, payload)
        elif self._known.get(message.receipt, -1) < message.redrives:
            self._take(parcel, payload)

    @workflow.signal(name=Signal.COMPENSATE)
    def compensate(self, message: Message, payload: RawValue) -> None:
        """Take a compensation that a handler has declared."""
        self._saga.owe(message, payload)

    @workflow.signal(name=Signal.HOLD)
    def hold(self, hold: Hold, payload: RawValue) -> None:
        """Take what waits for an event or for other messages before it becomes a step."""
        if hold.receipt not in self._known and self._holds.take(hold, payload):
            self._record.note(_held(hold), StepStatus.WAITING, _what_it_waits_for(hold))
            self._note_child(hold.then.parent, hold.receipt)
            self._tasks.add(partial(self._run_hold, hold, payload))

    @workflow.signal(name=Signal.EVENT)
    def event(self, name: str, payload: RawValue) -> None:
        """Take an event that something waits for, or will."""
        self._holds.event(name, payload)

    @workflow.signal(name=Signal.WATCH)
    def watch(self, receipt: str, workflow_id: str) -> None:
        """Note that a workflow wants to hear how a step ends; of one that has ended it hears elsewhere."""
        if receipt in self._steps or receipt in self._holds:
            self._watchers.add(receipt, workflow_id)

    @workflow.signal(name=Signal.ATTEMPT_FAILED)
    def attempt_failed(self, failed: AttemptFailed) -> None:
        """Take a bridge's word that an attempt of a step has failed; only a chain that is watched is told."""
        step = self._steps.get(failed.receipt)
        if step is None:
            return
        for event in (ChainEventType.STEP_ERROR, *([ChainEventType.STEP_RETRY] if failed.is_retried else [])):
            self._outbox.note(
                event, step.message, attempt=failed.attempt, code=failed.code, error=failed.error
            )

    @workflow.signal(name=Signal.WATCHED_ENDED)
    def watched_ended(self, end: WatchedEnd) -> None:
        """Take another workflow's word of how a message ended."""
        self._holds.ended(end)

    @workflow.signal(name=Signal.TURN)
    async def turn(self, ticket: Ticket) -> None:
        """Take the lane's word that a step is next in its group; a turn nobody waits for goes back."""
        if ticket.receipt in self._steps:
            self._turns.take(ticket.receipt)
        else:
            await self._turns.give_back(ticket)

    @workflow.signal(name=Signal.LANE_STEP_ENDED)
    def lane_step_ended(self, receipt: str, ended: LaneStepEnded | None = None) -> None:
        """Take the lane's word that the step that began this chain has completed."""
        if receipt != self._lane_step:
            return
        self._lane_step = None
        self._lane_children = []
        if ended is not None:
            self._root = (ended.message, json_value(ended.payload.encode()))
            self._record.note(ended.message, StepStatus.COMPLETED, delivery_id=ended.delivery_id)
            if ended.compensation is not None and ended.undo_payload is not None:
                self._saga.owe(ended.compensation, json_value(ended.undo_payload.encode()))

    @workflow.signal(name=Signal.PROVIDER_OFFERED)
    def provider_offered(self, function_id: str) -> None:
        """Take a bridge's word that somebody has begun to offer a function."""
        self._courier.provider_offered(function_id)

    @workflow.query(name=Query.CHAIN)
    def state(self) -> ChainState:
        """Tell how far the chain has come."""
        holds = tuple(hold for hold, _ in self._holds.held)
        return ChainState(self._record.steps, holds, len(self._saga), self._is_undoing)

    @workflow.query(name=Query.STANDING)
    def standing(self, late: LateCall) -> Standing:
        """Tell what a late call is worth, also after the chain has ended."""
        record = self._record.find(late.step)
        is_of_this_time = self._root is None or late.restarts >= self._root[0].restarts
        return Standing(
            is_known=is_of_this_time and self._knows(late.receipt),
            is_given_up=(
                not is_of_this_time
                or self._is_undoing
                or (record is not None and record.status in _NEVER_COMPLETED)
            ),
            has_completed=record is not None and record.delivery_id == late.delivery_id,
            children=len(self._children_of(late.step)),
        )

    def _new_courier(self) -> Courier:
        if not self._lets_attempts_finish:
            return Courier(self._tenancy)
        return Courier(
            self._tenancy,
            ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            is_watched=self._outbox.is_watched,
        )

    def _take(self, parcel: Parcel, payload: RawValue, *, is_in_line: bool = True) -> None:
        message = parcel.message
        self._known[message.receipt] = message.redrives
        self._losses.forgive(message.receipt)
        if message.receipt == message.home and self._root is None:
            self._root = (message, payload)
            if message.restarts:
                workflow.upsert_memo({"restarts": message.restarts})
        self._note_child(message.parent, message.receipt)
        self._asked_before.update(message.children)
        children = list(message.children)
        if message.receipt == self._lane_step:  # the lane has handed it over
            children += self._lane_children
            self.lane_step_ended(message.receipt)
        # A lane is joined only when the step is due, or it would hold up the others.
        step = _Step(message, payload, parcel.progress, children, is_in_line and not message.not_before_ms)
        self._steps[message.receipt] = step
        self._record.note(message, StepStatus.WAITING)
        self._tasks.add(partial(self._run_step, step))

    def _children_of(self, receipt: str) -> Sequence[str]:
        """Return the receipts that a step's attempts have enqueued, as long as it has not ended."""
        if receipt == self._lane_step:
            return self._lane_children
        return self._steps[receipt].children if receipt in self._steps else ()

    def _knows(self, receipt: str) -> bool:
        """Tell whether the chain has, or had, what a step asks for; also of what it had before this run."""
        return any(receipt in each for each in (self._known, self._asked_before, self._record, self._holds))

    def _from_the_beginning(self) -> Loaded | None:
        """Return what a compensated chain begins again with: its first message."""
        if self._root is None:
            return None
        first, payload = self._root
        return Parcel(again(first)), payload

    def _note_child(self, parent: str | None, receipt: str) -> None:
        """Note what a step has asked for, so that it does not ask again after a redrive."""
        if parent in self._steps:
            self._steps[parent].children.append(receipt)
        elif parent is not None and parent == self._lane_step:
            self._lane_children.append(receipt)

    def _is_over(self) -> bool:
        return (
            not self._steps
            and not self._tasks
            and not self._holds
            and self._lane_step is None
            and workflow.all_handlers_finished()
        )

    def _must_undo(self) -> bool:
        return bool(self._losses) and bool(self._saga)

    def _is_leaving(self) -> bool:
        """Tell whether to continue as new: at a quiet moment if the history is long, else when it must be."""
        pace, courier = self._tenancy.pace, self._courier
        if not courier.is_leaving:
            courier.is_leaving = is_too_long(pace) or (is_long(pace) and not courier.delivering)
        return courier.is_leaving

    async def _something_happens(self) -> None:
        """Wait for a step to arrive, or for the last one to end."""

        def has_happened() -> bool:
            return (
                self._tasks.can_begin
                or self._is_over()
                or self._must_undo()
                or self._is_leaving()
                or self._tasks.has_failed
            )

        if self._lane_step is None or self._steps:
            await workflow.wait_condition(lambda: has_happened() or self._has_only_its_lane())
            if not has_happened() and not workflow.patched(_PATCH):
                await workflow.wait_condition(has_happened)
        elif not await wait_until(has_happened, timedelta(milliseconds=self._tenancy.pace.lane_check_ms)):
            await self._check_lane(self._lane_step)
        self._tasks.raise_failure()

    def _has_only_its_lane(self) -> bool:
        return self._lane_step is not None and not self._steps and not self._tasks

    async def _check_lane(self, receipt: str) -> None:
        """Notice a lane that was terminated, or that ended the step before this chain could hear of it."""
        if not await call(self._tenancy, Activity.LANE_HOLDS, self._lane_id, receipt, result_type=bool):
            self.lane_step_ended(receipt)

    async def _run_step(self, step: _Step) -> None:
        message = step.message
        try:
            await self._deliver(step)
        except DeliveryInterruptedError as interrupted:
            step.progress = interrupted.progress
        except asyncio.CancelledError:
            if not self._lets_attempts_finish:
                await self._end(message)
                raise
            # It stays among the steps, to be dropped.
        else:
            await self._end(message)

    async def _deliver(self, step: _Step) -> None:
        message = step.message
        try:
            if message.group is not None:
                self._record.note(message, StepStatus.WAITING, "for its turn")
                await self._take_turn(step, message.group)
            self._record.note(message, StepStatus.RUNNING)
            if step.progress == Progress():
                self._outbox.note(ChainEventType.STEP_START, message)
            result = await self._courier.deliver(message, step.payload, step.progress)
        except DeliveryLostError as death:
            self._tasks.protect()  # or a cancellation could lose the message for good
            await self._lose(step, death)
        else:
            self._tasks.protect()  # or a cancellation could have it that the step was dropped
            await self._complete(step, result)

    async def _complete(self, step: _Step, result: RawValue) -> None:
        message = step.message
        self._completed += 1
        self._record.note(message, StepStatus.COMPLETED, delivery_id=delivery_id_of(result))
        self._outbox.note(ChainEventType.STEP_COMPLETE, message, result=result)
        undo = compensation_of(result)
        if undo is not None:
            self._saga.owe(undo, undo_payload(message, step.payload, result, self._tenancy))
        await self._tell(message.receipt, StepStatus.COMPLETED, result)

    async def _lose(self, step: _Step, death: DeliveryLostError) -> None:
        message, error = step.message, death.lost.error
        self._losses.note(message, error)
        letter = await bury(
            message,
            step.payload,
            death,
            tenancy=self._tenancy,
            children=step.children,
            is_watched=self._outbox.is_watched,
        )
        self._losses.letters.append(letter)
        self._record.note(message, StepStatus.LOST, error)
        self._outbox.note(ChainEventType.DEAD_LETTER, message, code=death.lost.code, error=error)
        await self._tell(message.receipt, StepStatus.LOST, error=error)

    async def _tell(
        self, receipt: str, status: StepStatus, result: RawValue | None = None, error: str | None = None
    ) -> None:
        end = watched_end(receipt, status, result, error, tenancy=self._tenancy)
        self._holds.ended(end)
        await self._watchers.tell(end)

    async def _take_turn(self, step: _Step, group: str) -> None:
        message = step.message
        if not step.is_in_line:
            await self._courier.wait_until_due(message, step.progress)
            await self._turns.join(message, group)
        await self._turns.wait(message, group, is_leaving=lambda: self._courier.is_leaving)
        if self._courier.is_leaving:
            raise DeliveryInterruptedError(step.progress)

    async def _end(self, message: Message) -> None:
        del self._steps[message.receipt]
        if message.group is not None:
            is_lost = message.receipt in self._losses
            await self._turns.end(message, message.group, is_lost=is_lost)

    async def _run_hold(self, hold: Hold, payload: RawValue) -> None:
        released = await self._holds.release(
            hold, payload, is_leaving=lambda: self._courier.is_leaving, watch=self._how_ended
        )
        if released is None:
            return
        message, data = released
        if message is not None:
            self._take(Parcel(replace(message, receipt=hold.receipt)), data, is_in_line=False)
        else:
            self._record.note(_held(hold), StepStatus.DROPPED, "what it waited for did not come")
            await self._tell(hold.receipt, StepStatus.DROPPED)

    async def _how_ended(self, receipt: str) -> WatchedEnd | None:
        """Ask for a message that something here waits for; of a step that is here the chain knows itself."""
        if receipt in self._steps or receipt in self._holds:
            return None
        workflow_id = workflow.info().workflow_id
        end: WatchedEnd | None = await call(
            self._tenancy, Activity.WATCH, receipt, workflow_id, result_type=WatchedEnd
        )
        return end

    async def _serve(self) -> None:
        """Run steps until none is left or something must be undone, in a fresh run if need be."""
        while True:
            while not self._is_over() and not self._must_undo() and not self._is_leaving():
                self._tasks.begin()
                await self._something_happens()
            if not self._must_undo():
                await self._tasks.all_end()
            if self._must_undo():
                return
            if not self._is_over():
                await self._continue_as_new()
            self._note_the_end()
            await self._outbox.flush()
            if self._is_over() and not self._must_undo():
                return

    async def _undo_whatever_comes(self) -> None:
        """Undo in a task of its own, which a cancellation does not reach."""
        undoing = asyncio.create_task(self._undo())
        while not undoing.done():
            try:
                await workflow.wait_condition(undoing.done)
            except asyncio.CancelledError:
                self._is_cancelled = True
        undoing.result()

    async def _undo(self) -> None:
        """Let what runs finish, drop what has not begun, and compensate what has completed."""
        self._is_undoing = True
        self._courier.is_leaving = True
        await self._tasks.all_end()
        while self._lane_step is not None:
            await self._check_lane(self._lane_step)
            await wait_until(
                lambda: self._lane_step is None, timedelta(milliseconds=self._tenancy.pace.lane_check_ms)
            )
        if self._saga and self._root is not None:
            await self._losses.begin_with(*self._root)
        self._courier.forget_waiting()
        self._courier = self._new_courier()
        while self._has_to_undo():
            while self._has_to_undo():
                await self._drop_what_has_not_begun()
                if self._saga:
                    await self._compensate(*self._saga.take_latest())
                await workflow.wait_condition(workflow.all_handlers_finished)
            if self._restart is not None:
                await self._losses.begin_again(self._restart[0].message.receipt)
            self._note_the_end()
            await self._outbox.flush()

    def _has_to_undo(self) -> bool:
        return bool(self._steps or self._holds or self._saga) or not workflow.all_handlers_finished()

    async def _drop_what_has_not_begun(self) -> None:
        self._tasks.drop_not_begun()
        for hold in self._holds.drop_all():
            self._record.note(_held(hold), StepStatus.DROPPED)
            await self._tell(hold.receipt, StepStatus.DROPPED)
        for step in list(self._steps.values()):
            self._record.note(step.message, StepStatus.DROPPED)
            await self._end(step.message)
            await self._tell(step.message.receipt, StepStatus.DROPPED)

    async def _compensate(self, message: Message, payload: RawValue) -> None:
        self._record.note(message, StepStatus.RUNNING)
        try:
            await self._courier.deliver(message, payload, Progress())
        except DeliveryLostError as death:
            await bury(
                message,
                payload,
                death,
                tenancy=self._tenancy,
                children=(),
                is_watched=self._outbox.is_watched,
            )
            self._losses.note(message, death.lost.error, verdict="did not undo its step")
            self._record.note(message, StepStatus.LOST, death.lost.error)
            self._outbox.note(
                ChainEventType.DEAD_LETTER, message, code=death.lost.code, error=death.lost.error
            )
        else:
            self._record.note(message, StepStatus.COMPLETED)
            self._outbox.note(ChainEventType.COMPENSATED, message)

    def _begin_again(self, parcel: Parcel, payload: RawValue) -> NoReturn:
        """Go on in a fresh history with a message that was redriven while the chain was being undone."""
        start = ChainStart(
            self._tenancy,
            parcels=(parcel,),
            lets_attempts_finish=True,
            is_watched=self._outbox.is_watched,
            events_told=self._outbox.sent,
        )
        workflow.continue_as_new(args=[start, payload])

    async def _continue_as_new(self) -> NoReturn:
        """Go on in a fresh history; what has not ended goes along, or moves if it is too much."""
        await self._outbox.flush()
        while too_much := self._too_much_to_carry():
            await move_to_chains(self._tenancy, [step.load(home=step.message.receipt) for step in too_much])
            for step in too_much:
                del self._steps[step.message.receipt]
        await workflow.wait_condition(workflow.all_handlers_finished)
        loads = [step.load() for step in self._steps.values()]
        owed = self._saga.carried(_MOST_BYTES_OWED)
        held = self._holds.held
        root = [self._root] if self._root and len(self._root[1].payload.data) <= _LARGEST_ROOT_CARRIED else []
        next_start = ChainStart(
            tenancy=self._tenancy,
            parcels=tuple(parcel for parcel, _ in loads),
            turns=self._turns.carried,
            lane_step=self._lane_step,
            lane_id=self._lane_id,
            lost=self._losses.texts,
            completed=self._completed,
            lane_children=tuple(self._lane_children),
            lets_attempts_finish=self._lets_attempts_finish,
            owed=tuple(message for message, _ in owed),
            holds=tuple(hold for hold, _ in held),
            letters=tuple(self._losses.letters),
            root=root[0][0] if root else None,
            records=self._record.carried(),
            watchers=self._watchers.carried,
            events=self._holds.events,
            ends=self._holds.carried_ends(),
            is_watched=self._outbox.is_watched,
            events_told=self._outbox.sent,
        )
        payloads = [payload for _, payload in (*loads, *owed, *held, *root)]
        workflow.continue_as_new(args=[next_start, *payloads])

    def _too_much_to_carry(self) -> list[_Step]:
        """Choose what has to move. A step that stands in a lane's line stays: the lane knows it is here."""
        room = _MOST_BYTES_CARRIED
        moving: list[_Step] = []
        for step in sorted(self._steps.values(), key=lambda step: step.message.group is None):
            room -= size_bytes(*step.load())
            if room < 0 and step.message.group is None:
                moving.append(step)
        return moving

    def _note_the_end(self) -> None:
        if self._is_cancelled:
            self._outbox.note(ChainEventType.CHAIN_FAILED, code="cancelled", error="The chain was cancelled")
        elif self._losses:
            self._outbox.note(ChainEventType.CHAIN_FAILED, code="step_lost", error=self._losses.summary())
        else:
            self._outbox.note(ChainEventType.CHAIN_COMPLETE)


def _held(hold: Hold) -> Message:
    """Return the step that a hold becomes, under the receipt that its enqueuer was given."""
    return replace(hold.then, receipt=hold.receipt)


def _what_it_waits_for(hold: Hold) -> str:
    return f"for the event {hold.event}" if hold.event is not None else f"for {len(hold.receipts)} messages"
