"""Bulk operations over every namespace: one under the same id in each that has something to settle."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bridge.errors import BridgeError, EngineError
from bridge.temporal.bulk import BulkOperation, BulkOperations, Status
from bridge.temporal.dead_letters import DeadLetters
from bridge.temporal.settler import MOST_ERRORS
from bridge.temporal.spread.looking import ask_all
from workflows.contract import BulkReport, LetterFilter, Update

__all__ = ["BulkPart", "SpreadBulkOperations"]

_WORST_FIRST: tuple[Status, ...] = ("running", "failed", "cancelled", "done")


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One namespace: its operations, and the dead letters that they are about."""

    operations: BulkOperations
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class _Share:
    """What an operation has to do in one namespace."""

    operations: BulkOperations
    limit: int | None


class SpreadBulkOperations:
    """Starts bulk operations and tells how far they have come; no worker is asked.

    Every method raises `BridgeError` when Temporal does not answer in time.

    Args:
        parts: Every namespace.
        new_id: Makes fresh UUIDs.
    """

    def __init__(self, parts: Sequence[BulkPart], new_id: Callable[[], str]) -> None:
        self._parts = parts
        self._new_id = new_id

    async def start(
        self,
        queue: str,
        letters: LetterFilter,
        decision: Update,
        *,
        rate_per_s: float | None = None,
        limit: int | None = None,
    ) -> str:
        """Begin an operation and return its id.

        Args:
            queue: The name that it was asked for.
            letters: Which dead letters it is about.
            decision: What becomes of them.
            rate_per_s: How many per second at most, over all namespaces; `None` as fast as it goes.
            limit: How many at most, the oldest of a namespace first; `None` all.

        Raises:
            EngineError: It could not begin everywhere, and was cancelled where it had.
        """
        operation_id, shares = self._new_id(), await self._shares(letters, limit)
        rate_per_s = rate_per_s and rate_per_s / len(shares)
        for begun, share in enumerate(shares):
            try:
                await share.operations.start(
                    operation_id, queue, letters, decision, rate_per_s=rate_per_s, limit=share.limit
                )
            except BridgeError as exc:
                if not begun:
                    raise
                await self._call_off(shares[:begun], operation_id)
                raise EngineError(
                    f"Operation {operation_id} has begun in {begun} of {len(shares)} namespaces of Temporal "
                    f"and was cancelled there: {exc}"
                ) from exc
        return operation_id

    async def wait(self, operation_id: str, within_s: float) -> BulkOperation | None:
        """Return an operation as soon as it has ended, or as it stands when the time is over.

        Cancellation: safe; the operation goes on.
        """
        return _together(await ask_all(each.operations.wait(operation_id, within_s) for each in self._parts))

    async def look(self, operation_id: str) -> BulkOperation | None:
        """Return an operation as it stands; `None` when there is none of that id."""
        return _together(await ask_all(each.operations.look(operation_id) for each in self._parts))

    async def cancel(self, operation_id: str) -> bool:
        """Have an operation begin no more; answers whether it was running."""
        return any(await ask_all(each.operations.cancel(operation_id) for each in self._parts))

    async def _shares(self, letters: LetterFilter, limit: int | None) -> list[_Share]:
        """Tell what there is to do in which namespace; one takes part at least."""
        if len(self._parts) == 1:
            return [_Share(self._parts[0].operations, limit)]
        counts = await ask_all(each.dead_letters.count(letters) for each in self._parts)
        shares, left = [], limit
        for part, count in zip(self._parts, counts, strict=True):
            if count and left != 0:
                shares.append(_Share(part.operations, left))
                left = None if left is None else max(0, left - count)
        return shares or [_Share(self._parts[0].operations, limit)]

    async def _call_off(self, shares: Iterable[_Share], operation_id: str) -> None:
        for share in shares:
            with suppress(BridgeError):
                await share.operations.cancel(operation_id)


def _together(parts: Iterable[BulkOperation | None]) -> BulkOperation | None:
    """Return one operation for those that have the same id, with the sums of what they report."""
    found = [each for each in parts if each is not None]
    if len(found) <= 1:
        return found[0] if found else None
    reports = [each.report for each in found]
    return replace(
        found[0],
        status=min((each.status for each in found), key=_WORST_FIRST.index),
        began_at_ms=min(each.began_at_ms for each in found),
        report=BulkReport(
            matched=sum(each.matched for each in reports),
            done=sum(each.done for each in reports),
            skipped=sum(each.skipped for each in reports),
            failed=sum(each.failed for each in reports),
            errors=tuple(error for each in reports for error in each.errors)[:MOST_ERRORS],
            is_cancelled=any(each.is_cancelled for each in reports),
        ),
    )
