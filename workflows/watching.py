"""Workflows that want to hear how a message of this one ends."""

from collections.abc import Mapping

from temporalio.common import RawValue

from workflows.calls import signal
from workflows.contract import Signal, StepStatus, Tenancy, WatchedEnd
from workflows.results import is_result_omitted

__all__ = ["Watchers", "largest_result_told", "watched_end"]

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
    receipt: str,
    status: StepStatus,
    result: RawValue | None = None,
    error: str | None = None,
    *,
    tenancy: Tenancy,
) -> WatchedEnd:
    """Return how a message ended, without a result that is too large to be passed on."""
    return WatchedEnd(receipt, status, _told(result, tenancy), error)


def _told(result: RawValue | None, tenancy: Tenancy) -> str | None:
    if result is None or is_result_omitted(result):
        return None
    data = result.payload.data
    return data.decode() if len(data) <= largest_result_told(tenancy) else None


def largest_result_told(tenancy: Tenancy) -> int:
    """Return how large a result may be that one workflow tells another."""
    return tenancy.stored_bytes or _LARGEST_RESULT_TOLD
