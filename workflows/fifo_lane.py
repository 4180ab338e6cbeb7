"""A lane: the line of one FIFO group (docs/architecture.md).

Two kinds of ticket stand in it, strictly in the order in which they joined: a message of its own, which the
lane delivers itself, and a turn for a step that its chain delivers. The lane ends when the line is empty.
"""

from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

from workflows.contract import (
    Activity,
    ChildEnqueued,
    LaneStart,
    LaneStepEnd,
    Message,
    Signal,
    Ticket,
    WorkflowType,
)
from workflows.delivery import DeliveryLostError, ProviderWatch, bury, deliver
from workflows.names import chain_id, task_queue

__all__ = ["FifoLane"]

_OWN_ACTIVITY_TIMEOUT = timedelta(seconds=30)
_FIRST_CHECK = timedelta(seconds=30)
_LONGEST_CHECK = timedelta(minutes=5)


@workflow.defn(name=WorkflowType.FIFO_LANE)
class FifoLane:
    """Lets one message of a group run at a time, in the order of joining."""

    def __init__(self) -> None:
        self._line: OrderedDict[str, tuple[Ticket, RawValue | None]] = OrderedDict()
        self._current: str | None = None
        self._ended: set[str] = set()
        self._children: dict[str, list[str]] = {}
        self._watch: ProviderWatch | None = None

    @workflow.run
    async def run(self, start: LaneStart) -> None:
        """Serve the line until it is empty."""
        self._watch = watch = ProviderWatch(start.tenancy)
        self._adopt(start)
        while self._line:
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                self._continue_as_new(start)
            self._current, (ticket, payload) = next(iter(self._line.items()))
            if payload is None:
                await self._grant_turn(start, ticket)
            else:
                await self._run_message(start, ticket.message, payload, watch)
            del self._line[self._current]
            self._ended.discard(self._current)
            self._current = None
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal(name=Signal.JOIN_MESSAGE)
    def join_message(self, ticket: Ticket, payload: RawValue) -> None:
        """Take a message that the lane delivers itself."""
        self._line.setdefault(ticket.message.receipt, (ticket, payload))

    @workflow.signal(name=Signal.JOIN_TURN)
    async def join_turn(self, ticket: Ticket) -> None:
        """Take a step that its chain delivers when its turn has come; who stands in line keeps the place."""
        if ticket.message.receipt == self._current and ticket.chain_workflow_id is not None:
            await _signal_chain(ticket.chain_workflow_id, Signal.TURN, ticket.message.receipt)
            return
        self._line.setdefault(ticket.message.receipt, (ticket, None))

    @workflow.signal(name=Signal.TURN_ENDED)
    def turn_ended(self, receipt: str) -> None:
        """Take the chain's word that its step has ended."""
        if receipt == self._current:
            self._ended.add(receipt)

    @workflow.signal(name=Signal.CHILD_ENQUEUED)
    def child_enqueued(self, child: ChildEnqueued) -> None:
        """Note that a message's handler has begun a chain, which wants to know how the message ends."""
        self._children.setdefault(child.parent, []).append(child.child)

    @workflow.signal(name=Signal.PROVIDER_OFFERED)
    def provider_offered(self, function_id: str) -> None:
        """Take a bridge's word that somebody has begun to offer a function."""
        if self._watch is not None:
            self._watch.offered(function_id)

    def _adopt(self, start: LaneStart) -> None:
        """Put those first who stood in the line before the lane continued as new."""
        joined, self._line = self._line, OrderedDict()
        for ticket in start.tickets:
            text = start.payloads.get(ticket.message.receipt)
            self._line[ticket.message.receipt] = (ticket, None if text is None else _to_raw(text))
        for receipt, place in joined.items():
            self._line.setdefault(receipt, place)

    async def _grant_turn(self, start: LaneStart, ticket: Ticket) -> None:
        """Let the chain run its step, and wait for its end or for the end of the chain."""
        chain = ticket.chain_workflow_id or ""
        receipt = ticket.message.receipt
        if not await _signal_chain(chain, Signal.TURN, receipt):
            return
        check = _FIRST_CHECK
        while receipt not in self._ended:
            try:
                await workflow.wait_condition(lambda: receipt in self._ended, timeout=check)
            except TimeoutError:
                check = min(check * 2, _LONGEST_CHECK)
                if not await self._is_open(start, chain):
                    return

    async def _is_open(self, start: LaneStart, workflow_id: str) -> bool:
        is_open: bool = await workflow.execute_activity(
            Activity.IS_OPEN,
            workflow_id,
            task_queue=task_queue(start.tenancy),
            result_type=bool,
            start_to_close_timeout=_OWN_ACTIVITY_TIMEOUT,
            retry_policy=RetryPolicy(),
        )
        return is_open

    async def _run_message(
        self, start: LaneStart, message: Message, payload: RawValue, watch: ProviderWatch
    ) -> None:
        lost: str | None = None
        try:
            await deliver(message, payload, tenancy=start.tenancy, watch=watch)
        except DeliveryLostError as error:
            lost = error.error
            children = (*message.children, *self._children.get(message.receipt, ()))
            await bury(message, payload, error, tenancy=start.tenancy, children=children)
        if self._children.pop(message.receipt, None):
            await _signal_chain(
                chain_id(start.tenancy, message.home),
                Signal.LANE_STEP_ENDED,
                LaneStepEnd(message.receipt, lost),
            )

    def _continue_as_new(self, start: LaneStart) -> None:
        waiting = self._line.items()
        payloads = {receipt: payload.payload.data.decode() for receipt, (_, payload) in waiting if payload}
        tickets = tuple(ticket for _, (ticket, _) in waiting)
        workflow.continue_as_new(replace(start, tickets=tickets, payloads=payloads))


def _to_raw(text: str) -> RawValue:
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=text.encode()))


async def _signal_chain(workflow_id: str, signal: Signal, argument: object) -> bool:
    """Signal a chain; answers whether it was there."""
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(signal, argument)
    except ApplicationError:
        return False
    return True
