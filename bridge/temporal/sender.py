"""Chains and lanes, started and signalled: every way in which a message reaches a workflow."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.arguments import SUMMARY_LENGTH, raw_value
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.lanes import Lanes, takes_no_more_signals
from workflows.attributes import message_attributes
from workflows.contract import (
    AttemptFailed,
    ChainStart,
    ChildEnqueued,
    Hold,
    Message,
    Parcel,
    Signal,
    Tenancy,
    Ticket,
)
from workflows.names import chain_id, dead_letter_id, lane_id, task_queue, workflow_type

__all__ = ["TemporalSender"]

log = structlog.get_logger("bridge.queue")


class TemporalSender:
    """Sends messages to their workflows.

    Every method raises `RPCError` when Temporal refuses or does not answer, and `EnqueueError` before it has
    been reached for the first time.

    Args:
        connection: The way to Temporal.
        lanes: The lines of FIFO groups.
        tenancy: The names to use; read at every message.
        rpc_timeout: How long one call may take.
        watches_chains: Tells whether somebody wants to be told of the events of chains.
    """

    def __init__(
        self,
        connection: TemporalConnection,
        lanes: Lanes,
        tenancy: Callable[[], Tenancy],
        rpc_timeout: timedelta,
        watches_chains: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._lanes = lanes
        self._tenancy = tenancy
        self._rpc_timeout = rpc_timeout
        self._watches_chains = watches_chains

    async def start_chain(self, message: Message, payload: bytes) -> None:
        """Begin a chain with a message. The id is the receipt, so a second start of it changes nothing."""
        tenancy = self._tenancy()
        start = replace(self._start(message), parcels=(Parcel(message),))
        try:
            await self._connection.client.start_workflow(
                workflow_type(message.function_id),
                args=[start, raw_value(payload)],
                id=chain_id(tenancy, message.receipt),
                task_queue=task_queue(tenancy),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=message_attributes(tenancy, message),
                static_summary=f"queue {message.queue}"[:SUMMARY_LENGTH],
                rpc_timeout=self._rpc_timeout,
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            log.debug("already enqueued", step=message.receipt)

    async def send_apart(self, message: Message, payload: bytes) -> None:
        """Begin a chain of a message's own, and have it stand in its lane's line."""
        await self.start_chain(message, payload)
        if (ticket := self.ticket_of(message)) is not None and not message.not_before_ms:
            await self.join_lane(ticket)

    async def add_step(self, message: Message, payload: bytes) -> None:
        """Add a step to a chain that runs."""
        await self._signal(self.chain_of(message), Signal.ENQUEUE, [Parcel(message), raw_value(payload)])

    async def add_step_for_lane(self, message: Message, payload: bytes, *, lane_workflow_id: str) -> None:
        """Add a step that the handler of a lane's own message enqueued; its chain begins with the first.

        Raises:
            WorkflowAlreadyStartedError: The chain has begun before and ended.
        """
        start = await self._begun_by_lane(message, lane_workflow_id)
        arguments = [Parcel(message), raw_value(payload)]
        await self._give_to_chain(start, message, Signal.ENQUEUE, arguments, begins_again=False)

    async def owe(self, undo: Message, payload: bytes, *, lane_workflow_id: str | None) -> None:
        """Have a chain that runs owe a compensation.

        Args:
            undo: The compensation.
            payload: Its payload.
            lane_workflow_id: The lane that runs the step itself; its chain may begin with this.

        Raises:
            WorkflowAlreadyStartedError: That chain has begun before and ended.
        """
        if lane_workflow_id is None:
            await self._signal(self.chain_of(undo), Signal.COMPENSATE, [undo, raw_value(payload)])
        else:
            start = await self._begun_by_lane(undo, lane_workflow_id)
            arguments = [undo, raw_value(payload)]
            await self._give_to_chain(start, undo, Signal.COMPENSATE, arguments, begins_again=False)

    async def hold(self, hold: Hold, payload: bytes, *, lane_workflow_id: str | None) -> None:
        """Have a chain hold something back; the chain begins with it if there is none.

        Args:
            hold: What it waits for, and what it becomes.
            payload: What goes along.
            lane_workflow_id: The lane that runs the step itself which asks for it.

        Raises:
            WorkflowAlreadyStartedError: The chain has begun before and ended.
        """
        if lane_workflow_id is None:
            start = self._start(hold.then)
        else:
            start = await self._begun_by_lane(hold.then, lane_workflow_id)
        arguments = [hold, raw_value(payload)]
        await self._give_to_chain(start, hold.then, Signal.HOLD, arguments, begins_again=False)

    async def send_event(self, chain_workflow_id: str, name: str, payload: bytes) -> None:
        """Tell a chain of an event."""
        await self._signal(chain_workflow_id, Signal.EVENT, [name, raw_value(payload)])

    async def watch(self, workflow_id: str, receipt: str, watcher_id: str) -> None:
        """Have a chain or a lane tell a workflow when a message ends."""
        await self._signal(workflow_id, Signal.WATCH, [receipt, watcher_id])

    async def move_to_chain(self, parcel: Parcel, payload: bytes) -> None:
        """Have a message go on in the chain that is its home."""
        await self._give_to_chain(
            self._start(parcel.message), parcel.message, Signal.ENQUEUE, [parcel, raw_value(payload)]
        )

    async def redrive(self, parcel: Parcel, payload: bytes) -> None:
        """Send a dead message on its way again, in the chain that is its home."""
        await self.move_to_chain(parcel, payload)
        if (ticket := self.ticket_of(parcel.message)) is not None:
            await self.take_turn(ticket)

    async def join_message(self, message: Message, group: str, payload: bytes) -> None:
        """Give a lane a message of its own."""
        await self._lanes.join(message.queue, group, Signal.JOIN_MESSAGE, [message, raw_value(payload)])

    async def join_lane(self, ticket: Ticket) -> None:
        """Make sure that a chain's step stands in its lane's line, without a trace where it does."""
        lane = self.lane_of(ticket.queue, ticket.group)
        if not await self.lane_holds(lane, ticket.receipt):
            await self.take_turn(ticket)

    async def take_turn(self, ticket: Ticket) -> None:
        """Put a chain's step in its lane's line."""
        await self._lanes.join(ticket.queue, ticket.group, Signal.JOIN_TURN, [ticket])

    async def lane_holds(self, lane_workflow_id: str, receipt: str) -> bool:
        """Tell whether a message stands in a lane's line."""
        return await self._lanes.holds(lane_workflow_id, receipt)

    async def dead_letter_is_open(self, queue: str, receipt: str) -> bool:
        """Tell whether a message is among the dead letters, neither redriven nor discarded."""
        letter = self._connection.client.get_workflow_handle(dead_letter_id(self._tenancy(), queue, receipt))
        try:
            description = await letter.describe(rpc_timeout=self._rpc_timeout)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return description.status is WorkflowExecutionStatus.RUNNING

    def chain_of(self, message: Message) -> str:
        """Return the workflow id of the chain that is a message's home."""
        return chain_id(self._tenancy(), message.home)

    def lane_of(self, queue: str, group: str) -> str:
        """Return the workflow id of a group's lane."""
        return lane_id(self._tenancy(), queue, group)

    def ticket_of(self, message: Message) -> Ticket | None:
        """Return the turn that a message takes, if it has a group."""
        if message.group is None:
            return None
        return Ticket(message.receipt, message.queue, message.group, self.chain_of(message))

    async def _signal(self, workflow_id: str, signal: Signal, arguments: list[Any]) -> None:
        handle = self._connection.client.get_workflow_handle(workflow_id)
        await handle.signal(signal, args=arguments, rpc_timeout=self._rpc_timeout)

    def is_watched(self, message: Message) -> bool:
        """Tell whether the chain that a message begins has somebody to tell of its events."""
        return self._watches_chains() and not message.is_unwatched

    async def attempt_failed(self, chain_workflow_id: str, word: AttemptFailed) -> None:
        """Tell a chain that is watched of a failed attempt, if it can be told."""
        try:
            await self._signal(chain_workflow_id, Signal.ATTEMPT_FAILED, [word])
        except RPCError as exc:
            log.warning("chain not told of a failed attempt", workflow_id=chain_workflow_id, reason=str(exc))

    def _start(self, message: Message) -> ChainStart:
        return ChainStart(self._tenancy(), lets_attempts_finish=True, is_watched=self.is_watched(message))

    async def _begun_by_lane(self, message: Message, lane_workflow_id: str) -> ChainStart:
        """Tell a lane that the handler of its own message begins a chain, and return how that starts."""
        child = ChildEnqueued(message.home, message.receipt)
        try:
            await self._signal(lane_workflow_id, Signal.CHILD_ENQUEUED, [child])
        except RPCError as exc:
            # A crowded lane tells the chain how its step ends without having been asked.
            if not takes_no_more_signals(exc):
                raise
        return replace(self._start(message), lane_step=message.home, lane_id=lane_workflow_id)

    async def _give_to_chain(
        self,
        start: ChainStart,
        message: Message,
        signal: Signal,
        arguments: list[Any],
        *,
        begins_again: bool = True,
    ) -> None:
        """Signal the chain that is a message's home, which begins if it does not run."""
        reuse = (
            WorkflowIDReusePolicy.ALLOW_DUPLICATE if begins_again else WorkflowIDReusePolicy.REJECT_DUPLICATE
        )
        await self._connection.client.start_workflow(
            workflow_type(message.function_id),
            args=[start],
            id=self.chain_of(message),
            task_queue=task_queue(start.tenancy),
            id_reuse_policy=reuse,
            start_signal=signal,
            start_signal_args=arguments,
            search_attributes=message_attributes(start.tenancy, message),
            static_summary=f"queue {message.queue}"[:SUMMARY_LENGTH],
            rpc_timeout=self._rpc_timeout,
        )
