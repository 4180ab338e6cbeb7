"""Bulk operations on dead letters, started and watched from the bridge: each is a workflow of its own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.answers import LOOK_S, answering
from bridge.temporal.connection import TemporalConnection
from workflows.contract import BulkReport, BulkStart, LetterFilter, Tenancy, Update, WorkflowType
from workflows.names import bulk_id, task_queue

__all__ = ["BulkOperation", "BulkOperations", "Status"]

_START_TIMEOUT = timedelta(seconds=LOOK_S)
_SUMMARY_LENGTH = 200

Status = Literal["running", "done", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """A bulk operation as it stands now.

    Attributes:
        queue: The name that it was asked for.
        status: `failed` when its workflow was terminated.
    """

    id: str
    queue: str
    decision: Update
    status: Status
    began_at_ms: int
    report: BulkReport


class BulkOperations:
    """Starts bulk operations and tells how far they have come; no worker is asked.

    Every method raises `BridgeError` when Temporal does not answer in time.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
        heartbeat_timeout_ms: After how long a silent bridge counts as lost.
    """

    def __init__(
        self,
        connection: TemporalConnection,
        tenancy: Callable[[], Tenancy],
        *,
        heartbeat_timeout_ms: int,
    ) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._heartbeat_timeout_ms = heartbeat_timeout_ms

    async def start(
        self,
        operation_id: str,
        queue: str,
        letters: LetterFilter,
        decision: Update,
        *,
        rate_per_s: float | None = None,
        limit: int | None = None,
    ) -> None:
        """Begin an operation.

        Args:
            operation_id: By which it is asked for.
            queue: The name that it was asked for.
            letters: Which dead letters it is about.
            decision: What becomes of them.
            rate_per_s: How many per second at most; `None` as fast as it goes.
            limit: How many at most, the oldest; `None` all.
        """
        tenancy = self._tenancy()
        start = BulkStart(
            tenancy=tenancy,
            letters=letters,
            decision=decision,
            rate_per_s=rate_per_s,
            limit=limit,
            heartbeat_timeout_ms=self._heartbeat_timeout_ms,
        )
        async with answering():
            await self._connection.client.start_workflow(
                WorkflowType.BULK,
                start,
                id=bulk_id(tenancy, operation_id),
                task_queue=task_queue(tenancy),
                memo={"queue": queue, "decision": decision},
                static_summary=f"{decision.removeprefix('iii.')} dead letters of {queue}"[:_SUMMARY_LENGTH],
                rpc_timeout=_START_TIMEOUT,
            )

    async def wait(self, operation_id: str, within_s: float) -> BulkOperation | None:
        """Return an operation as soon as it has ended, or as it stands when the time is over.

        Cancellation: safe; the operation goes on.
        """
        client = self._connection.client
        workflow = client.get_workflow_handle(bulk_id(self._tenancy(), operation_id))
        with suppress(TimeoutError, RPCError, WorkflowFailureError):
            async with asyncio.timeout(within_s):
                await workflow.result()
        return await self.look(operation_id)

    async def look(self, operation_id: str) -> BulkOperation | None:
        """Return an operation as it stands; `None` when there is none of that id."""
        client = self._connection.client
        async with answering():
            try:
                found = await client.get_workflow_handle(bulk_id(self._tenancy(), operation_id)).describe()
            except RPCError as exc:
                if exc.status is RPCStatusCode.NOT_FOUND:
                    return None
                raise
            memo, report = await found.memo(), await _report(client, found)
        return BulkOperation(
            id=operation_id,
            queue=memo["queue"],
            decision=Update(memo["decision"]),
            status=_status(found, report),
            began_at_ms=int(found.start_time.timestamp() * 1000),
            report=report,
        )

    async def cancel(self, operation_id: str) -> bool:
        """Have an operation begin no more; answers whether it was running."""
        operation = await self.look(operation_id)
        if operation is None or operation.status != "running":
            return False
        client = self._connection.client
        async with answering():
            await client.get_workflow_handle(bulk_id(self._tenancy(), operation_id)).cancel()
        return True


def _status(found: WorkflowExecutionDescription, report: BulkReport) -> Status:
    if found.status is WorkflowExecutionStatus.RUNNING:
        return "running"
    if found.status is not WorkflowExecutionStatus.COMPLETED:
        return "failed"
    return "cancelled" if report.is_cancelled else "done"


async def _report(client: Client, found: WorkflowExecutionDescription) -> BulkReport:
    """Read the report: of a running operation from the last heartbeat, else from the result."""
    report = BulkReport()
    if found.status is WorkflowExecutionStatus.COMPLETED:
        ended = client.get_workflow_handle(found.id, run_id=found.run_id, result_type=BulkReport)
        report = await ended.result()
    for activity in found.raw_description.pending_activities:
        if activity.heartbeat_details.payloads:
            (report,) = await client.data_converter.decode(activity.heartbeat_details.payloads, [BulkReport])
    return report
