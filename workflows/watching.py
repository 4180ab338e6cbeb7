"""Workflows that want to hear how a message of this one ends."""

from collections.abc import Mapping

from temporalio.common import RawValue

from workflows.calls import signal
from workflows.contract import Signal, StepStatus, WatchedEnd

__all__ = ["Watchers", "watched_end"]

_LARGEST_RESULT_TOLD = 64 * 1024


class Watchers:
    """Who wants to hear of which message.

    Args:
        watching: Workflow ids by receipt, from the run before.
    """

    def __init__(self, watching: Mapping[str, list[str]]) -> None:
        self._watching = {receipt: list(ids) for receipt, ids in watching.items()}

    @property
    def carried(self) -> dict[str, list[str]]:
        """What the next run takes along."""
        return self._watching

    def add(self, receipt: str, workflow_id: str) -> None:
        """Note that a workflow wants to hear of a message."""
        watchers = self._watching.setdefault(receipt, [])
        if workflow_id not in watchers:
            watchers.append(workflow_id)

    def take(self, receipt: str) -> list[str]:
        """Return who wants to hear of a message, and forget them."""
        return self._watching.pop(receipt, [])

    async def tell(self, end: WatchedEnd) -> None:
        """Tell everybody who wants to hear of a message how it ended."""
        for workflow_id in self.take(end.receipt):
            await signal(workflow_id, Signal.WATCHED_ENDED, end)


def watched_end(
    receipt: str, status: StepStatus, result: RawValue | None = None, error: str | None = None
) -> WatchedEnd:
    """Return how a message ended, without a result that is too large to be passed on."""
    data = result.payload.data if result is not None else None
    if data is not None and len(data) > _LARGEST_RESULT_TOLD:
        data = None
    return WatchedEnd(receipt, status, data.decode() if data is not None else None, error)
