"""A dead letter: one lost message, kept until somebody redrives or discards it (docs/architecture.md)."""

from temporalio import workflow
from temporalio.common import RawValue

from workflows.calls import signal
from workflows.contract import DeadLetter, Signal, Update, WorkflowType
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

    @workflow.update(name=Update.REDRIVE)
    async def redrive(self) -> bool:
        """Send the message again with its whole retry budget; answers whether this call did it.

        The dead letter closes only after the message is on its way again.
        """
        if self._is_deciding or self._decision is not None:
            return False
        self._is_deciding = True
        try:
            await send_again(self._letter, self._payload)
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
