"""A dead letter: one lost message, kept until somebody redrives or discards it (docs/architecture.md)."""

from temporalio import workflow
from temporalio.common import RawValue

from workflows.calls import signal
from workflows.contract import DeadLetter, Message, Signal, Update, WorkflowType
from workflows.names import lane_id
from workflows.redrive import send_again

__all__ = ["DeadLetterBox"]

_DISCARDED = "discarded"


@workflow.defn(name=WorkflowType.DEAD_LETTER)
class DeadLetterBox:
    """Stays open as long as the message is dead, so that retention never drops it."""

    @workflow.init
    def __init__(self, letter: DeadLetter, payload: RawValue) -> None:
        self._letter = letter
        self._payload = payload
        self._restart: tuple[Message, RawValue] | None = None
        self._siblings: list[str] = []
        self._is_deciding = False
        self._decision: str | None = None

    @workflow.run
    async def run(self, letter: DeadLetter, payload: RawValue) -> str:  # noqa: ARG002 - read in __init__
        """Wait for the decision and return it."""
        workflow.set_current_details(
            f"`{letter.message.function_id}` failed {letter.attempts_made} times: {letter.error}"
        )
        await workflow.wait_condition(lambda: self._decision is not None)
        await workflow.wait_condition(workflow.all_handlers_finished)
        message = letter.message
        if self._decision == _DISCARDED and message.holds_group and message.group is not None:
            lane = lane_id(letter.tenancy, message.queue, message.group)
            await signal(lane, Signal.HOLD_ENDED, message.receipt)
        return self._decision or ""

    @workflow.signal(name=Signal.RESTART_INSTEAD)
    def restart_instead(self, first: Message, payload: RawValue, letters: list[str]) -> None:
        """Take the chain's word that it compensates: a redrive begins with its first message.

        Args:
            first: That message.
            payload: Its payload.
            letters: The workflow ids of the chain's other dead letters: one redrive is for all of them.
        """
        self._restart = (first, payload)
        self._siblings = letters

    @workflow.signal(name=Signal.SUPERSEDED)
    def superseded(self, receipt: str) -> None:
        """Take the word of a dead letter of the same chain that the chain begins again."""
        if not self._is_deciding and self._decision is None:
            self._decision = f"redriven with {receipt}"

    @workflow.update(name=Update.REDRIVE)
    async def redrive(self) -> bool:
        """Send the message again with its whole retry budget; answers whether this call did it.

        The dead letter closes only after the message is on its way again.
        """
        if self._is_deciding or self._decision is not None:
            return False
        self._is_deciding = True
        try:
            await send_again(self._letter, self._payload, self._restart)
            for other in self._siblings:
                await signal(other, Signal.SUPERSEDED, self._letter.message.receipt)
        finally:
            self._is_deciding = False
        self._decision = "redriven"
        return True

    @workflow.update(name=Update.DISCARD)
    def discard(self) -> bool:
        """Let the message go for good; answers whether this call did it."""
        if self._is_deciding or self._decision is not None:
            return False
        self._decision = _DISCARDED
        return True
