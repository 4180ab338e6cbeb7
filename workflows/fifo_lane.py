"""A lane: the line of one FIFO group (docs/architecture.md).

Two kinds of place stand in it, strictly in the order in which they joined: a message of its own, which the
lane delivers itself, and a turn for a step that its chain delivers. A message of its own gets one attempt
here; if that is not enough, a chain takes the message over and keeps the place. So nothing but one running
handler keeps the lane from continuing as new, however long the line is. The lane ends when it is empty.

Temporal lets one run take 10,000 signals, and a start has room for so many places. So who joins a lane that
is busy for too long, and who does not fit into the next run's start, stands in an annex, in the same order.

Where the queue says so, a step that is lost keeps its place: the group is held until its dead letter is
redriven, which gives the step its turn again, or discarded.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.exceptions import ActivityError

from workflows.calls import call, signal, wait_until
from workflows.contract import (
    Activity,
    AnnexPage,
    AnnexStart,
    ChildEnqueued,
    LaneStart,
    LaneStepEnded,
    Message,
    Place,
    Progress,
    Query,
    SearchAttribute,
    Signal,
    StepStatus,
    Tenancy,
    Ticket,
    WorkflowType,
)
from workflows.delivery import attempt, progress_after
from workflows.line import Line, load, own_place, page_of, payload_of
from workflows.moving import json_value, move_to_chains, size_bytes
from workflows.names import chain_id
from workflows.results import compensation_of, delivery_id_of
from workflows.run_length import is_long
from workflows.saga import undo_payload
from workflows.watching import Watchers, watched_end

__all__ = ["FifoLane"]

_MOST_BYTES_CARRIED = 500_000
"""Temporal takes 2 MB of arguments, and payloads grow when they become text in a place."""
_PATCH = "iii.annex"
_NOT_BEGUN = Progress()


@workflow.defn(name=WorkflowType.FIFO_LANE)
class FifoLane:
    """Lets one message of a group run at a time, in the order of joining."""

    @workflow.init
    def __init__(self, start: LaneStart) -> None:
        self._tenancy, self._queue, self._group = start.tenancy, start.queue, start.group
        self._line = Line(start)
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
            while not is_long(self._tenancy.pace):
                if place := self._line.first():
                    await self._serve(place)
                elif self._line.annexes:
                    await self._read_annex(self._line.annexes[0])
                else:
                    break
            if self._line.first() or self._has_overflowed():
                await self._continue_as_new()
        except asyncio.CancelledError:
            await self._move([*self._line.here, *self._line.behind])
            raise

    @workflow.signal(name=Signal.JOIN_MESSAGE)
    def join_message(self, message: Message, payload: RawValue) -> None:
        """Take a message that the lane delivers itself."""
        self._line.join(own_place(message, payload))

    @workflow.signal(name=Signal.JOIN_TURN)
    def join_turn(self, ticket: Ticket) -> None:
        """Take a turn for a step that its chain delivers; who stands in line keeps the place."""
        self._line.put(Place(ticket.receipt, chain_workflow_id=ticket.chain_workflow_id))
        self._has_asked |= ticket.receipt == self._current

    @workflow.signal(name=Signal.TURN_ENDED)
    def turn_ended(self, receipt: str) -> None:
        """Take the chain's word that its step has ended, with or without its turn.

        A chain that was asked once too often says so of a step that it has lost, too: that keeps its place.
        """
        if not self._line.is_held(receipt):
            self._line.remove(receipt)

    @workflow.signal(name=Signal.TURN_LOST)
    def turn_lost(self, receipt: str) -> None:
        """Take the chain's word that its step is a dead letter for which the group waits."""
        self._line.put_first(Place(receipt, is_held=True))

    @workflow.signal(name=Signal.HOLD_ENDED)
    def hold_ended(self, receipt: str) -> None:
        """Take a dead letter's word that nobody wants its message any more."""
        self._line.remove(receipt)

    @workflow.signal(name=Signal.ANNEX_LEFT)
    def annex_left(self, key: str) -> None:
        """Take an annex's word that nobody reads it: the lane that left it was terminated."""
        if key not in self._line.annexes:
            self._line.annexes.append(key)

    @workflow.signal(name=Signal.CHILD_ENQUEUED)
    def child_enqueued(self, child: ChildEnqueued) -> None:
        """Note that a message's handler has begun a chain, which wants to know how the message ends."""
        if self._line.find(child.parent):
            self._with_children.add(child.parent)

    @workflow.signal(name=Signal.WATCH)
    def watch(self, receipt: str, workflow_id: str) -> None:
        """Note that a workflow wants to hear how a message of the lane's own ends."""
        if self._line.find(receipt):
            self._watchers.add(receipt, workflow_id)

    @workflow.query(name=Query.HOLDS)
    def holds(self, receipt: str) -> bool:
        """Tell whether a message or a turn stands in the line; a dead letter's place is to be taken again."""
        return self._line.find(receipt) is not None and not self._line.is_held(receipt)

    @workflow.query(name=Query.ANNEXES)
    def annexes(self) -> list[str]:
        """Return the keys of the annexes that this lane knows of, its own included."""
        own = workflow.info().run_id
        return [*self._line.annexes, _left_by(own), own]

    async def _serve(self, place: Place) -> None:
        self._current = place.receipt
        if place.is_held:
            await self._hold(place.receipt)
        elif place.message is not None and await self._is_delivered(place, place.message):
            self._line.remove(place.receipt)
        else:
            await self._grant_turn(place.receipt)

    async def _is_delivered(self, place: Place, message: Message) -> bool:
        """Make the one attempt; answers whether it was enough, and if not, a chain has the message."""
        try:
            result = await attempt(message, payload_of(place), _NOT_BEGUN, tenancy=self._tenancy, attempts=1)
        except ActivityError as error:
            await self._move([place], progress_after(error, message, _NOT_BEGUN, attempts=1))
            return False
        if message.receipt in self._with_children or (self._is_busy() and workflow.patched(_PATCH)):
            # If busy, the lane may have been refused the word that there is a chain.
            ended = _ended(message, place.payload or "", result, self._tenancy)
            await signal(self._chain_id(message), Signal.LANE_STEP_ENDED, message.receipt, ended)
        end = watched_end(message.receipt, StepStatus.COMPLETED, result, tenancy=self._tenancy)
        await self._watchers.tell(end)
        return True

    async def _hold(self, receipt: str) -> None:
        """Wait until a dead letter is redriven or discarded, or the history is long.

        The lane asks after a dead letter that says nothing: somebody may have terminated it.
        """
        pace = self._tenancy.pace
        check_ms = pace.lane_check_ms

        def goes_on() -> bool:
            return not self._line.is_held(receipt) or is_long(pace)

        self._show_held(receipt)
        while not goes_on():
            place = self._line.find(receipt)
            if not await wait_until(goes_on, timedelta(milliseconds=check_ms)):
                asked = (Activity.DEAD_LETTER_IS_OPEN, self._queue, receipt)
                is_open = await call(self._tenancy, *asked, result_type=bool)
                if not is_open and self._line.find(receipt) is place:
                    self._line.remove(receipt)
                check_ms = min(check_ms * 2, pace.longest_check_ms)
        if not self._line.is_held(receipt):
            self._show_held(None)

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
            is_over = self._line.find(receipt) is None or self._line.is_held(receipt)
            return is_over or self._has_asked or is_long(pace)

        while (place := self._line.find(receipt)) and not place.is_held and not is_long(pace):
            self._has_asked = False
            chain = place.chain_workflow_id or ""
            ticket = Ticket(receipt, self._queue, self._group, chain)
            if not await signal(chain, Signal.TURN, ticket) and self._line.find(receipt) is place:
                self._line.remove(receipt)
            elif not await wait_until(goes_on, timedelta(milliseconds=check_ms)):
                check_ms = min(check_ms * 2, pace.longest_check_ms)

    async def _move(self, places: Sequence[Place], progress: Progress = _NOT_BEGUN) -> None:
        """Hand messages over to chains, which deliver them when it is their turn."""
        await move_to_chains(self._tenancy, [load(place, progress) for place in places if place.message])
        for place in places:
            if place.message is not None and self._line.find(place.receipt):
                self._with_children.discard(place.receipt)
                self._line.put(Place(place.receipt, self._chain_id(place.message)))
                for watcher in self._watchers.take(place.receipt):
                    await signal(self._chain_id(place.message), Signal.WATCH, place.receipt, watcher)

    async def _read_annex(self, key: str) -> None:
        """Take over the next places of an annex, or close it if there are none."""
        asked = (Activity.READ_ANNEX, self._annex(key), self._line.taken)
        self._line.take(await call(self._tenancy, *asked, result_type=AnnexPage))

    def _is_busy(self) -> bool:
        return workflow.info().get_current_history_length() >= self._tenancy.pace.busy_events

    def _has_overflowed(self) -> bool:
        """Tell whether an annex is needed, or may have been begun for this run."""
        is_too_long = len(self._line.here) > self._tenancy.pace.places_per_run
        return bool(self._line.annexes or is_too_long or self._is_busy()) and workflow.patched(_PATCH)

    async def _continue_as_new(self) -> NoReturn:
        has_overflowed = self._has_overflowed()
        if has_overflowed:
            self._line.close(self._tenancy.pace.places_per_run)
        while too_much := self._too_much_to_carry():
            await self._move(too_much)
        if has_overflowed:
            await self._leave_what_is_behind()
        workflow.continue_as_new(
            LaneStart(
                self._tenancy,
                self._queue,
                self._group,
                line=self._line.here,
                watchers=self._watchers.carried,
                annexes=tuple(self._line.annexes),
                taken=self._line.taken,
            )
        )

    async def _leave_what_is_behind(self) -> None:
        """Leave places in an annex until nobody is behind; others may join meanwhile."""
        own = workflow.info().run_id
        keys: list[str] = []
        while behind := self._line.behind:
            page = page_of(behind)
            keys = [_left_by(own)]
            await call(self._tenancy, Activity.LEAVE_IN_ANNEX, self._annex(keys[0]), page)
            for place in page:
                self._line.remove(place.receipt)
        if self._is_busy():
            keys.append(own)
        self._line.annexes += keys

    def _annex(self, key: str) -> AnnexStart:
        return AnnexStart(self._tenancy, self._queue, self._group, key)

    def _too_much_to_carry(self) -> list[Place]:
        room = _MOST_BYTES_CARRIED
        moving: list[Place] = []
        for place in self._line.here:
            if place.message is not None:
                room -= size_bytes(*load(place, _NOT_BEGUN))
                if room < 0:
                    moving.append(place)
        return moving

    def _chain_id(self, message: Message) -> str:
        return chain_id(self._tenancy, message.home)


def _ended(message: Message, payload: str, result: RawValue, tenancy: Tenancy) -> LaneStepEnded:
    undo, delivery_id = compensation_of(result), delivery_id_of(result)
    if undo is None:
        return LaneStepEnded(message, payload, delivery_id=delivery_id)
    told = undo_payload(message, json_value(payload.encode()), result, tenancy)
    return LaneStepEnded(message, payload, undo, told.payload.data.decode(), delivery_id)


def _left_by(run_id: str) -> str:
    """Return the key of the annex that has what a run left; that of its own id has what it was refused."""
    return f"{run_id}.line"
