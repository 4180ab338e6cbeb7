"""A chain: everything one message led to, in one history (docs/architecture.md).

The first message is the workflow's argument; what its handlers enqueue arrives as signals and becomes the
next steps. The workflow's type is the first function's id, so that the Web UI reads like the pipeline.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from workflows.burial import bury
from workflows.calls import call, signal, wait_until
from workflows.contract import (
    Activity,
    ChainStart,
    Message,
    Parcel,
    Progress,
    Signal,
    Ticket,
)
from workflows.delivery import Courier, DeliveryInterruptedError, DeliveryLostError
from workflows.moving import Loaded, move_to_chains, size_bytes
from workflows.names import lane_id
from workflows.run_length import is_long, is_too_long

__all__ = ["Chain"]

_SHOWN_STEPS = 200
_SHOWN_LOST_STEPS = 10
_SHOWN_ERROR_LENGTH = 200
_MOST_STEPS_AT_ONCE = 500
"""Temporal takes 2,000 pending activities of one workflow; the others wait here."""
_MOST_BYTES_CARRIED = 1_000_000
"""Temporal takes 2 MB of arguments."""


@dataclass
class _Step:
    """A step that has not ended.

    Attributes:
        children: Receipts that its attempts enqueued.
    """

    message: Message
    payload: RawValue
    progress: Progress
    children: list[str]

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
        self._tenancy = start.tenancy
        self._courier = Courier(start.tenancy)
        self._steps: dict[str, _Step] = {}
        self._not_begun: deque[_Step] = deque()
        # Not a TaskGroup, which awaits while it is closed: Temporal closes what a stopping worker remembers.
        # Not a set, whose order differs in a replay.
        self._running: dict[asyncio.Task[None], None] = {}
        self._failure: BaseException | None = None
        self._turns = set(start.turns)
        self._known = dict.fromkeys(start.lane_children, 0)
        self._lost = dict(start.lost)
        self._completed = start.completed
        self._lane_step, self._lane_id = start.lane_step, start.lane_id
        self._lane_children = list(start.lane_children)
        self._shown: OrderedDict[str, str] = OrderedDict()
        for parcel, payload in zip(start.parcels, args[1:], strict=True):
            self._take(parcel, payload)

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:  # noqa: ARG002 - read in __init__
        """Run until no step is left.

        Returns:
            How many steps completed, in words.

        Raises:
            ApplicationError: A step was lost; its message is among the dead letters.
        """
        try:
            while not self._is_over() and not self._is_leaving():
                self._begin_steps()
                await self._something_happens()
            await self._running_steps_end()
        except asyncio.CancelledError:
            for task in self._running:
                task.cancel()
            await self._running_steps_end()
            raise
        if not self._is_over():
            await self._continue_as_new()
        if self._lost:
            raise ApplicationError(self._what_was_lost(), type="iii.step_lost", non_retryable=True)
        return f"{self._completed} steps completed"

    @workflow.signal(name=Signal.ENQUEUE)
    def enqueue(self, parcel: Parcel, payload: RawValue) -> None:
        """Take a step that a handler of this chain enqueued, or that was redriven; a known one is ignored."""
        if self._known.get(parcel.message.receipt, -1) < parcel.message.redrives:
            self._take(parcel, payload)

    @workflow.signal(name=Signal.TURN)
    async def turn(self, ticket: Ticket) -> None:
        """Take the lane's word that a step is next in its group; a turn nobody waits for goes back."""
        if ticket.receipt in self._steps:
            self._turns.add(ticket.receipt)
        else:
            lane = lane_id(self._tenancy, ticket.queue, ticket.group)
            await signal(lane, Signal.TURN_ENDED, ticket.receipt)

    @workflow.signal(name=Signal.LANE_STEP_ENDED)
    def lane_step_ended(self, receipt: str) -> None:
        """Take the lane's word that the step that began this chain has completed."""
        if receipt == self._lane_step:
            self._lane_step = None
            self._lane_children = []

    @workflow.signal(name=Signal.PROVIDER_OFFERED)
    def provider_offered(self, function_id: str) -> None:
        """Take a bridge's word that somebody has begun to offer a function."""
        self._courier.provider_offered(function_id)

    def _take(self, parcel: Parcel, payload: RawValue) -> None:
        message = parcel.message
        self._known[message.receipt] = message.redrives
        if message.parent in self._steps:
            self._steps[message.parent].children.append(message.receipt)
        elif message.parent is not None and message.parent == self._lane_step:
            self._lane_children.append(message.receipt)
        children = list(message.children)
        if message.receipt == self._lane_step:  # the lane has handed it over
            children += self._lane_children
            self.lane_step_ended(message.receipt)
        step = _Step(message, payload, parcel.progress, children)
        self._steps[message.receipt] = step
        self._not_begun.append(step)

    def _is_over(self) -> bool:
        return (
            not self._steps
            and not self._running
            and self._lane_step is None
            and workflow.all_handlers_finished()
        )

    def _is_leaving(self) -> bool:
        """Tell whether to continue as new: at a quiet moment if the history is long, else when it must be."""
        pace, courier = self._tenancy.pace, self._courier
        if not courier.is_leaving:
            courier.is_leaving = is_too_long(pace) or (is_long(pace) and not courier.delivering)
        return courier.is_leaving

    def _can_begin(self) -> bool:
        return bool(self._not_begun) and len(self._running) < _MOST_STEPS_AT_ONCE

    def _begin_steps(self) -> None:
        while self._can_begin():
            step = self._not_begun.popleft()
            task = asyncio.create_task(self._run_step(step), name=step.message.receipt)
            self._running[task] = None
            task.add_done_callback(self._step_has_run)

    def _step_has_run(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        if not task.cancelled():
            self._failure = self._failure or task.exception()

    async def _running_steps_end(self) -> None:
        await workflow.wait_condition(lambda: not self._running or self._failure is not None)
        self._raise_failure()

    def _raise_failure(self) -> None:
        """Fail the workflow task because of a bug: it is tried again with the next version of this code."""
        if self._failure is not None:
            raise self._failure

    async def _something_happens(self) -> None:
        """Wait for a step to arrive, or for the last one to end."""

        def has_happened() -> bool:
            return self._can_begin() or self._is_over() or self._is_leaving() or self._failure is not None

        if self._lane_step is None or self._steps:
            await workflow.wait_condition(has_happened)
        elif not await wait_until(has_happened, timedelta(milliseconds=self._tenancy.pace.lane_check_ms)):
            await self._check_lane(self._lane_step)
        self._raise_failure()

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
            await self._end(message)
            raise
        else:
            await self._end(message)

    async def _deliver(self, step: _Step) -> None:
        message = step.message
        try:
            if message.group is not None:
                self._show(message, "waits for its turn")
                await self._await_turn(step, message.group)
            self._show(message, "runs")
            await self._courier.deliver(message, step.payload, step.progress)
        except DeliveryLostError as death:
            await bury(message, step.payload, death, tenancy=self._tenancy, children=step.children)
            self._lost[message.receipt] = (
                f"{message.function_id} lost: {death.lost.error[:_SHOWN_ERROR_LENGTH]}"
            )
            self._show(message, f"lost: {death.lost.error[:_SHOWN_ERROR_LENGTH]}")
        else:
            self._completed += 1
            self._lost.pop(message.receipt, None)
            self._show(message, "completed")

    async def _await_turn(self, step: _Step, group: str) -> None:
        """Wait for the lane; ask it now and then, in case it never heard of the step or was terminated."""
        message, pace = step.message, self._tenancy.pace
        ticket = Ticket(message.receipt, message.queue, group, workflow.info().workflow_id)
        wait_ms = pace.turn_check_ms

        def goes_on() -> bool:
            return message.receipt in self._turns or self._courier.is_leaving

        while not await wait_until(goes_on, timedelta(milliseconds=wait_ms)):
            await call(self._tenancy, Activity.JOIN_LANE, ticket)
            wait_ms = min(wait_ms * 2, pace.longest_check_ms)
        if self._courier.is_leaving:
            raise DeliveryInterruptedError(step.progress)

    async def _end(self, message: Message) -> None:
        del self._steps[message.receipt]
        if message.group is not None:
            self._turns.discard(message.receipt)
            is_holding = message.holds_group and message.receipt in self._lost
            word = Signal.TURN_LOST if is_holding else Signal.TURN_ENDED
            await signal(lane_id(self._tenancy, message.queue, message.group), word, message.receipt)

    async def _continue_as_new(self) -> None:
        """Go on in a fresh history; what has not ended goes along, or moves if it is too much."""
        while too_much := self._too_much_to_carry():
            await move_to_chains(self._tenancy, [step.load(home=step.message.receipt) for step in too_much])
            for step in too_much:
                del self._steps[step.message.receipt]
        await workflow.wait_condition(workflow.all_handlers_finished)
        loads = [step.load() for step in self._steps.values()]
        next_start = ChainStart(
            tenancy=self._tenancy,
            parcels=tuple(parcel for parcel, _ in loads),
            turns=tuple(sorted(self._turns)),
            lane_step=self._lane_step,
            lane_id=self._lane_id,
            lost=self._lost,
            completed=self._completed,
            lane_children=tuple(self._lane_children),
        )
        workflow.continue_as_new(args=[next_start, *(payload for _, payload in loads)])

    def _too_much_to_carry(self) -> list[_Step]:
        """Choose what has to move. A step that stands in a lane's line stays: the lane knows it is here."""
        room = _MOST_BYTES_CARRIED
        moving: list[_Step] = []
        for step in sorted(self._steps.values(), key=lambda step: step.message.group is None):
            room -= size_bytes(*step.load())
            if room < 0 and step.message.group is None:
                moving.append(step)
        return moving

    def _what_was_lost(self) -> str:
        texts = list(self._lost.values())
        more = len(texts) - _SHOWN_LOST_STEPS
        return "; ".join(texts[:_SHOWN_LOST_STEPS]) + (f"; and {more} more" if more > 0 else "")

    def _show(self, message: Message, status: str) -> None:
        self._shown[message.receipt] = f"- `{message.function_id}` on `{message.queue}` {status}"
        if len(self._shown) > _SHOWN_STEPS:
            self._shown.popitem(last=False)
        workflow.set_current_details("\n".join(self._shown.values()))
