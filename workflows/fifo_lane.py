"""A lane: the line of one FIFO group (docs/architecture.md).

Two kinds of place stand in it, strictly in the order in which they joined: a message of its own, which the
lane delivers itself, and a turn for a step that its chain delivers. A message of its own gets one attempt
here; if that is not enough, a chain takes the message over and keeps the place. So nothing but one running
handler keeps the lane from continuing as new, however long the line is. The lane ends when it is empty.

Where the queue says so, a step that is lost keeps its place: the group is held until its dead letter is
redriven, which gives the step its turn again, or discarded.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ActivityError

from workflows.calls import call, signal, wait_until
from workflows.contract import (
    Activity,
    ChildEnqueued,
    LaneStart,
    LaneStepEnded,
    Message,
    Parcel,
    Place,
    Progress,
    Query,
    SearchAttribute,
    Signal,
    StepStatus,
    Ticket,
    WorkflowType,
)
from workflows.delivery import attempt, progress_after
from workflows.moving import Loaded, json_value, move_to_chains, size_bytes
from workflows.names import chain_id
from workflows.run_length import is_long
from workflows.saga import compensation_of, undo_payload
from workflows.watching import Watchers, watched_end

__all__ = ["FifoLane"]

_MOST_BYTES_CARRIED = 500_000
"""Temporal takes 2 MB of arguments, and payloads grow when they become text in a place."""


_NOT_BEGUN = Progress()


@workflow.defn(name=WorkflowType.FIFO_LANE)
class FifoLane:
    """Lets one message of a group run at a time, in the order of joining."""

    @workflow.init
    def __init__(self, start: LaneStart) -> None:
        self._tenancy, self._queue, self._group = start.tenancy, start.queue, start.group
        self._line = OrderedDict((place.receipt, place) for place in start.line)
        self._current: str | None = None
        self._has_asked = False
        self._with_children: set[str] = set()
        self._watchers = Watchers(start.watchers)

    @workflow.run
    async def run(self, start: LaneStart) -> None:  # noqa: ARG002 - read in __init__
        """Serve the line until it is empty.

        A lane that is cancelled hands what it holds to chains, which stand in line again elsewhere.
        """
        try:
            while self._line and not is_long(self._tenancy.pace):
                await self._serve(next(iter(self._line.values())))
        except asyncio.CancelledError:
            await self._move(list(self._line.values()))
            raise
        if self._line:
            await self._continue_as_new()

    @workflow.signal(name=Signal.JOIN_MESSAGE)
    def join_message(self, message: Message, payload: RawValue) -> None:
        """Take a message that the lane delivers itself."""
        place = Place(message.receipt, message=message, payload=payload.payload.data.decode())
        self._line.setdefault(message.receipt, place)

    @workflow.signal(name=Signal.JOIN_TURN)
    def join_turn(self, ticket: Ticket) -> None:
        """Take a turn for a step that its chain delivers; who stands in line keeps the place."""
        self._line[ticket.receipt] = Place(ticket.receipt, chain_workflow_id=ticket.chain_workflow_id)
        self._has_asked |= ticket.receipt == self._current

    @workflow.signal(name=Signal.TURN_ENDED)
    def turn_ended(self, receipt: str) -> None:
        """Take the chain's word that its step has ended, with or without its turn.

        A chain that was asked once too often says so of a step that it has lost, too: that keeps its place.
        """
        if not self._is_held(receipt):
            self._line.pop(receipt, None)

    @workflow.signal(name=Signal.TURN_LOST)
    def turn_lost(self, receipt: str) -> None:
        """Take the chain's word that its step is a dead letter for which the group waits."""
        self._line[receipt] = Place(receipt, is_held=True)
        self._line.move_to_end(receipt, last=False)

    @workflow.signal(name=Signal.HOLD_ENDED)
    def hold_ended(self, receipt: str) -> None:
        """Take a dead letter's word that nobody wants its message any more."""
        self._line.pop(receipt, None)

    @workflow.signal(name=Signal.CHILD_ENQUEUED)
    def child_enqueued(self, child: ChildEnqueued) -> None:
        """Note that a message's handler has begun a chain, which wants to know how the message ends."""
        if child.parent in self._line:
            self._with_children.add(child.parent)

    @workflow.signal(name=Signal.WATCH)
    def watch(self, receipt: str, workflow_id: str) -> None:
        """Note that a workflow wants to hear how a message of the lane's own ends."""
        if receipt in self._line:
            self._watchers.add(receipt, workflow_id)

    @workflow.query(name=Query.HOLDS)
    def holds(self, receipt: str) -> bool:
        """Tell whether a message or a turn stands in the line; a dead letter's place is to be taken again."""
        return receipt in self._line and not self._is_held(receipt)

    async def _serve(self, place: Place) -> None:
        self._current = place.receipt
        if place.is_held:
            await self._hold(place.receipt)
        elif place.message is not None and await self._is_delivered(place, place.message):
            self._line.pop(place.receipt, None)
        else:
            await self._grant_turn(place.receipt)

    async def _is_delivered(self, place: Place, message: Message) -> bool:
        """Make the one attempt; answers whether it was enough, and if not, a chain has the message."""
        try:
            result = await attempt(message, _payload(place), _NOT_BEGUN, tenancy=self._tenancy, attempts=1)
        except ActivityError as error:
            await self._move([place], progress_after(error, message, _NOT_BEGUN, attempts=1))
            return False
        if message.receipt in self._with_children:
            ended = _ended(message, place.payload or "", result)
            await signal(self._chain_id(message), Signal.LANE_STEP_ENDED, message.receipt, ended)
        await self._watchers.tell(watched_end(message.receipt, StepStatus.COMPLETED, result))
        return True

    async def _hold(self, receipt: str) -> None:
        """Wait until a dead letter is redriven or discarded, or the history is long.

        The lane asks after a dead letter that says nothing: somebody may have terminated it.
        """
        pace = self._tenancy.pace
        check_ms = pace.lane_check_ms

        def goes_on() -> bool:
            return not self._is_held(receipt) or is_long(pace)

        self._show_held(receipt)
        while not goes_on():
            place = self._line[receipt]
            if not await wait_until(goes_on, timedelta(milliseconds=check_ms)):
                asked = (Activity.DEAD_LETTER_IS_OPEN, self._queue, receipt)
                is_open = await call(self._tenancy, *asked, result_type=bool)
                if not is_open and self._line.get(receipt) is place:
                    del self._line[receipt]
                check_ms = min(check_ms * 2, pace.longest_check_ms)
        if not self._is_held(receipt):
            self._show_held(None)

    def _is_held(self, receipt: str) -> bool:
        return receipt in self._line and self._line[receipt].is_held

    def _show_held(self, receipt: str | None) -> None:
        """Say in the Web UI and in search what the group waits for."""
        workflow.set_current_details(f"held by the dead letter `{receipt}`" if receipt else "")
        if self._tenancy.has_search_attributes:
            key = SearchAttributeKey.for_keyword_list(SearchAttribute.WAITING)
            workflow.upsert_search_attributes([key.value_set([receipt]) if receipt else key.value_unset()])

    async def _grant_turn(self, receipt: str) -> None:
        """Let the chain run its step until it ends or is lost, the chain is gone, or the history is long."""
        pace = self._tenancy.pace
        check_ms = pace.lane_check_ms

        def goes_on() -> bool:
            is_over = receipt not in self._line or self._is_held(receipt)
            return is_over or self._has_asked or is_long(pace)

        while (place := self._line.get(receipt)) and not place.is_held and not is_long(pace):
            self._has_asked = False
            chain = place.chain_workflow_id or ""
            ticket = Ticket(receipt, self._queue, self._group, chain)
            if not await signal(chain, Signal.TURN, ticket) and self._line.get(receipt) is place:
                del self._line[receipt]
            elif not await wait_until(goes_on, timedelta(milliseconds=check_ms)):
                check_ms = min(check_ms * 2, pace.longest_check_ms)

    async def _move(self, places: Sequence[Place], progress: Progress = _NOT_BEGUN) -> None:
        """Hand messages over to chains, which deliver them when it is their turn."""
        await move_to_chains(self._tenancy, [_load(place, progress) for place in places if place.message])
        for place in places:
            if place.message is not None and place.receipt in self._line:
                self._with_children.discard(place.receipt)
                self._line[place.receipt] = Place(place.receipt, self._chain_id(place.message))
                for watcher in self._watchers.take(place.receipt):
                    await signal(self._chain_id(place.message), Signal.WATCH, place.receipt, watcher)

    async def _continue_as_new(self) -> NoReturn:
        while too_much := self._too_much_to_carry():
            await self._move(too_much)
        line = tuple(self._line.values())
        workflow.continue_as_new(
            LaneStart(self._tenancy, self._queue, self._group, line, self._watchers.carried)
        )

    def _too_much_to_carry(self) -> list[Place]:
        room = _MOST_BYTES_CARRIED
        moving: list[Place] = []
        for place in self._line.values():
            if place.message is not None:
                room -= size_bytes(*_load(place, _NOT_BEGUN))
                if room < 0:
                    moving.append(place)
        return moving

    def _chain_id(self, message: Message) -> str:
        return chain_id(self._tenancy, message.home)


def _payload(place: Place) -> RawValue:
    return json_value((place.payload or "").encode())


def _ended(message: Message, payload: str, result: RawValue) -> LaneStepEnded:
    undo = compensation_of(result)
    if undo is None:
        return LaneStepEnded(message, payload)
    told = undo_payload(message, json_value(payload.encode()), result)
    return LaneStepEnded(message, payload, undo, told.payload.data.decode())


def _load(place: Place, progress: Progress) -> Loaded:
    if place.message is None:
        raise ValueError(f"{place.receipt} is a turn: its chain has the message")
    return Parcel(place.message, progress), _payload(place)
