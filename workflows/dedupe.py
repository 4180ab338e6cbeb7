"""A dedupe marker: one value of a queue's `dedupe_field`, taken for a while (docs/architecture.md)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue

from workflows.calls import call, wait_until
from workflows.contract import Activity, DedupeStart, Signal, WorkflowType

__all__ = ["Dedupe"]


@workflow.defn(name=WorkflowType.DEDUPE)
class Dedupe:
    """Holds the first message with a value: while it is open, whoever enqueues the value gets its receipt.

    The bridge that began it sends the message. If that bridge was lost in between, the marker sends it: a
    receipt that somebody can read from it is never a promise that nobody keeps.
    """

    def __init__(self) -> None:
        self._is_sent = False

    @workflow.run
    async def run(self, start: DedupeStart, payload: RawValue) -> None:
        """Make sure that the message is on its way, then wait until the window is over."""
        patience = timedelta(milliseconds=start.tenancy.pace.turn_check_ms)
        if not await wait_until(lambda: self._is_sent, patience):
            await call(start.tenancy, Activity.SEND_APART, start.message, payload)
        end = workflow.info().start_time + timedelta(milliseconds=start.window_ms)
        if (rest := end - workflow.now()) > timedelta(0):
            await workflow.sleep(rest, summary="until the value may be used again")

    @workflow.signal(name=Signal.SENT)
    def sent(self) -> None:
        """Take the bridge's word that the message is on its way."""
        self._is_sent = True
