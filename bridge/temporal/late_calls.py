"""Calls of handlers whose attempt may have been given up: their chain knows what has become of the step."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.calls import Job
from bridge.errors import EnqueueError
from bridge.temporal.connection import TemporalConnection
from workflows.contract import LateCall, Query, Standing, Tenancy
from workflows.names import chain_id, receipt_at

__all__ = ["AskStanding", "LateCalls", "Standings"]

AskStanding = Callable[[Job, str], Awaitable[Standing | None]]
"""Asks the chain of a job about what its handler asks for, by the receipt (`Standings.of`)."""

_NEW = Standing(is_known=False, is_given_up=False, has_completed=False)


class Standings:
    """Asks the chains of one namespace of Temporal how their steps stand.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
        rpc_timeout: How long one question may take.
    """

    def __init__(
        self, connection: TemporalConnection, tenancy: Callable[[], Tenancy], rpc_timeout: timedelta
    ) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._rpc_timeout = rpc_timeout

    async def of(self, job: Job, receipt: str) -> Standing | None:
        """Ask a job's chain how its step stands, and note it in the job; `None` if there is no chain.

        Args:
            job: Kept in this namespace.
            receipt: What its handler asks for.

        Raises:
            RPCError: Temporal does not answer.
        """
        workflow_id = chain_id(self._tenancy(), job.home)
        late = LateCall(job.receipt or "", job.delivery_id or "", job.restarts, receipt)
        handle = self._connection.client.get_workflow_handle(workflow_id)
        try:
            standing: Standing = await handle.query(
                Query.STANDING, late, result_type=Standing, rpc_timeout=self._rpc_timeout
            )
        except WorkflowQueryFailedError:  # the bridge that has it in memory is older
            standing = _NEW
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        job.workflow_id = workflow_id  # a lane that ran the step is told of the chain, or has handed it over
        job.enqueued_before = standing.children
        return standing


class LateCalls:
    """Decides what becomes of late calls whose messages one namespace of Temporal keeps.

    Args:
        standing_of: Asks the chain of a job, in whichever namespace it is.
        connection: The way to Temporal.
        tenancy: The names to use.
        rpc_timeout: How long one question may take.
        new_id: Makes fresh UUIDs.
    """

    def __init__(
        self,
        standing_of: AskStanding,
        connection: TemporalConnection,
        tenancy: Callable[[], Tenancy],
        rpc_timeout: timedelta,
        new_id: Callable[[], str],
    ) -> None:
        self.standing_of = standing_of
        self._connection = connection
        self._tenancy = tenancy
        self._rpc_timeout = rpc_timeout
        self._new_id = new_id

    async def wanted(self, job: Job, receipt: str) -> str | None:
        """Return the receipt under which what a late call asks for is sent; `None` if it has been.

        Args:
            job: The job of the handler that makes the call.
            receipt: The one that every attempt of the step would give it.

        Raises:
            EnqueueError: The step was given up with its chain: only a redrive of it may ask for more.
            RPCError: Temporal does not answer.
        """
        if job.receipt is None or job.is_undoing:  # what compensations enqueue has chains of its own
            return receipt
        standing = await self.standing_of(job, receipt)
        if (standing or _NEW).is_known or await self._has_chain_of_its_own(receipt):
            # What a handler asks for once more after it has succeeded, no next attempt will ask for; only a
            # bridge that has seen all of its calls can tell this one from those before.
            is_one_more = job.is_doubtful and standing is not None and standing.has_completed
            return receipt_at(job.home, self._new_id()) if is_one_more else None
        if standing is not None and standing.is_given_up:
            raise EnqueueError(
                "This attempt was given up, and its step with it: it is a dead letter, or its chain was "
                "undone or cancelled. Nothing was enqueued; a redrive runs the handler again."
            )
        return receipt

    async def _has_chain_of_its_own(self, receipt: str) -> bool:
        """Tell whether a message was sent apart from the chain of its enqueuer."""
        handle = self._connection.client.get_workflow_handle(chain_id(self._tenancy(), receipt))
        try:
            await handle.describe(rpc_timeout=self._rpc_timeout)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True
