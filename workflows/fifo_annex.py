"""An annex: the part of a FIFO group's line that its lane could not keep (docs/architecture.md).

Temporal lets one run of a workflow take 10,000 signals, and a lane cannot begin a fresh run while a handler
of its own message runs. Who joins then is left here, and the lane reads it when the time has come.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue

from workflows.calls import call, wait_until
from workflows.contract import (
    Activity,
    AnnexPage,
    AnnexStart,
    Message,
    Place,
    Query,
    Signal,
    Ticket,
    Update,
    WorkflowType,
)
from workflows.line import own_place, page_of

__all__ = ["FifoAnnex"]

_ENDS_WHEN_CLOSED = "annex-ends-when-closed"


@workflow.defn(name=WorkflowType.FIFO_ANNEX)
class FifoAnnex:
    """Keeps places in the order of joining until the lane has taken them over and closes it."""

    @workflow.init
    def __init__(self, start: AnnexStart) -> None:
        self._start = start
        self._places: dict[str, Place] = {}
        self._end: AnnexPage | None = None

    @workflow.run
    async def run(self, start: AnnexStart) -> AnnexPage:
        """Wait to be closed; a lane that never comes was terminated, and its successor is told."""
        pace = start.tenancy.pace
        check_ms = pace.lane_check_ms
        while not await wait_until(self._is_closed, timedelta(milliseconds=check_ms)):
            await self._announce(start)
            check_ms = min(check_ms * 2, pace.longest_check_ms)
        return self._end or AnnexPage()

    def _is_closed(self) -> bool:
        return self._end is not None

    async def _announce(self, start: AnnexStart) -> None:
        """Make the annex known, unless it is closed meanwhile.

        One that is closed has to end at once: somebody may join it as long as it runs, and nobody reads it.
        """
        ends_when_closed = workflow.patched(_ENDS_WHEN_CLOSED)
        announcing = asyncio.create_task(call(start.tenancy, Activity.ANNOUNCE_ANNEX, start))
        await workflow.wait_condition(lambda: announcing.done() or (ends_when_closed and self._is_closed()))
        if announcing.done():
            announcing.result()

    @workflow.signal(name=Signal.JOIN_MESSAGE)
    def join_message(self, message: Message, payload: RawValue) -> None:
        """Take a message that the lane delivers itself."""
        self._places.setdefault(message.receipt, own_place(message, payload))

    @workflow.signal(name=Signal.JOIN_TURN)
    def join_turn(self, ticket: Ticket) -> None:
        """Take a turn for a step that its chain delivers."""
        place = Place(ticket.receipt, chain_workflow_id=ticket.chain_workflow_id)
        self._places.setdefault(ticket.receipt, place)

    @workflow.signal(name=Signal.LEAVE)
    def leave(self, places: list[Place]) -> None:
        """Take what the lane cannot carry."""
        for place in places:
            self._places.setdefault(place.receipt, place)

    @workflow.query(name=Query.HOLDS)
    def holds(self, receipt: str) -> bool:
        """Tell whether a message or a turn stands here."""
        return receipt in self._places

    @workflow.query(name=Query.READ_ANNEX)
    def read(self, taken: int) -> list[Place]:
        """Return the next places after those that the lane has."""
        return page_of(list(self._places.values())[taken:])

    @workflow.update(name=Update.CLOSE_ANNEX)
    def close(self, taken: int) -> AnnexPage:
        """Take nobody any more, if the lane has all there are."""
        if taken < len(self._places):
            return AnnexPage()
        info = workflow.info()
        is_busy = info.get_current_history_length() >= self._start.tenancy.pace.busy_events
        self._end = AnnexPage(is_closed=True, follower=info.run_id if is_busy else None)
        return self._end
