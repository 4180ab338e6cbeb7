"""The turns that a chain's steps take in the lanes of their groups."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from temporalio import workflow

from workflows.calls import call, signal, wait_until
from workflows.contract import Activity, Message, Signal, Tenancy, Ticket
from workflows.names import lane_id

__all__ = ["Turns"]


class Turns:
    """Waits for turns and gives them back.

    Args:
        tenancy: The names to use.
        held: Receipts of steps that had their turn when the chain continued as new.
    """

    def __init__(self, tenancy: Tenancy, held: Iterable[str]) -> None:
        self._tenancy = tenancy
        self._held = set(held)

    @property
    def carried(self) -> tuple[str, ...]:
        """What the next run takes along."""
        return tuple(sorted(self._held))

    def take(self, receipt: str) -> None:
        """Note that it is a step's turn."""
        self._held.add(receipt)

    async def join(self, message: Message, group: str) -> None:
        """Have a step stand in its lane's line."""
        await call(self._tenancy, Activity.JOIN_LANE, _ticket(message, group))

    async def wait(self, message: Message, group: str, *, is_leaving: Callable[[], bool]) -> None:
        """Wait for a turn; ask the lane now and then, in case it never heard of the step or was terminated.

        Args:
            message: The step.
            group: Its group.
            is_leaving: Tells when to stop waiting.
        """
        pace = self._tenancy.pace
        wait_ms = pace.turn_check_ms
        while not await wait_until(
            lambda: message.receipt in self._held or is_leaving(), timedelta(milliseconds=wait_ms)
        ):
            await self.join(message, group)
            wait_ms = min(wait_ms * 2, pace.longest_check_ms)

    async def end(self, message: Message, group: str, *, is_lost: bool) -> None:
        """Tell the lane that a step has ended; one that is lost may hold its group."""
        self._held.discard(message.receipt)
        word = Signal.TURN_LOST if message.holds_group and is_lost else Signal.TURN_ENDED
        await signal(lane_id(self._tenancy, message.queue, group), word, message.receipt)

    async def give_back(self, ticket: Ticket) -> None:
        """Tell a lane that nobody here waits for a turn."""
        await signal(lane_id(self._tenancy, ticket.queue, ticket.group), Signal.TURN_ENDED, ticket.receipt)


def _ticket(message: Message, group: str) -> Ticket:
    return Ticket(message.receipt, message.queue, group, workflow.info().workflow_id)
