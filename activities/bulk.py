"""What a bulk operation on dead letters does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.heartbeat import heartbeating
from workflows.contract import Activity, BulkReport, BulkStart

__all__ = ["BulkActivities", "LetterSettler"]


class LetterSettler(Protocol):
    """Settles dead letters."""

    async def settle(
        self,
        bulk: BulkStart,
        operation_id: str,
        *,
        tell: Callable[[BulkReport], None],
        stop: asyncio.Event,
    ) -> BulkReport:
        """Redrive or discard every dead letter that fits; one that was settled before counts again.

        Args:
            bulk: What to do.
            operation_id: Tells this operation from others.
            tell: Told how far it has come.
            stop: Set to begin no more.
        """


@dataclass(frozen=True)
class BulkActivities:
    """The activity of bulk operations."""

    settler: LetterSettler

    @activity.defn(name=Activity.SETTLE_DEAD_LETTERS)
    async def settle_dead_letters(self, bulk: BulkStart) -> BulkReport:
        """Settle dead letters; cancelled by a person, it ends in order and reports.

        Raises:
            ApplicationError: The bridge is stopping; another one begins anew.
        """
        progress, stop = [BulkReport()], asyncio.Event()

        def tell(report: BulkReport) -> None:
            progress[0] = report

        async with heartbeating(progress), asyncio.TaskGroup() as tasks:
            operation_id = activity.info().workflow_id or ""
            work = tasks.create_task(
                self.settler.settle(bulk, operation_id, tell=tell, stop=stop), name="settle dead letters"
            )
            leaving = tasks.create_task(activity.wait_for_worker_shutdown(), name="bridge stops")
            try:
                await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                details = activity.cancellation_details()
                if details is None or not details.cancel_requested:
                    raise
                stop.set()
                await asyncio.wait((work,))
            leaving.cancel()
            if not work.done():
                work.cancel()
        if work.cancelled():
            raise ApplicationError(
                "The bridge stops; the operation goes on elsewhere", category=ApplicationErrorCategory.BENIGN
            )
        return work.result()
