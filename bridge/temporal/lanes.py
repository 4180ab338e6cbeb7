"""Lanes and their annexes, seen from the bridge: joining a line, and reading on where it overflowed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.arguments import SUMMARY_LENGTH, lane_attributes
from bridge.temporal.connection import TemporalConnection
from workflows.contract import (
    AnnexPage,
    AnnexStart,
    LaneStart,
    Place,
    Query,
    Signal,
    Tenancy,
    Update,
    WorkflowType,
)
from workflows.names import annex_id, lane_id, task_queue

__all__ = ["Lanes", "takes_no_more_signals"]

_MOST_TRIES = 10


class Lanes:
    """The lines of FIFO groups.

    Every method raises `RPCError` when Temporal refuses or does not answer.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use; read at every call.
        rpc_timeout: How long one call may take.
    """

    def __init__(
        self, connection: TemporalConnection, tenancy: Callable[[], Tenancy], rpc_timeout: timedelta
    ) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._rpc_timeout = rpc_timeout

    async def join(self, queue: str, group: str, signal: Signal, arguments: list[Any]) -> None:
        """Put a message or a turn at the end of a group's line."""
        for _ in range(_MOST_TRIES - 1):
            try:
                await self._signal_lane(queue, group, signal, arguments)
            except RPCError as exc:
                if not takes_no_more_signals(exc):
                    raise
                if await self._join_annex(queue, group, signal, arguments):
                    return
            else:
                return
        await self._signal_lane(queue, group, signal, arguments)

    async def holds(self, lane_workflow_id: str, receipt: str) -> bool:
        """Tell whether a message or a turn stands in a lane's line."""
        if await self._ask(lane_workflow_id, Query.HOLDS, [receipt], bool, otherwise=False):
            return True
        for key in await self._ask(lane_workflow_id, Query.ANNEXES, [], list[str], otherwise=[]):
            annex = f"{lane_workflow_id}/{key}"
            if await self._ask(annex, Query.HOLDS, [receipt], bool, otherwise=False):
                return True
        return False

    async def leave_in_annex(self, annex: AnnexStart, places: list[Place]) -> None:
        """Give an annex what its lane cannot carry; a second time changes nothing."""
        await self._signal_annex(annex, Signal.LEAVE, [places])

    async def read_annex(self, annex: AnnexStart, taken: int) -> AnnexPage:
        """Read an annex from a place on, or close it if nobody stands there."""
        if taken == 0:
            await self._make_sure_of(annex)
        handle = self._handle(self._annex_id(annex))
        places: list[Place] | None = await self._ask(
            handle.id, Query.READ_ANNEX, [taken], list[Place], otherwise=None
        )
        if places:
            return AnnexPage(tuple(places))
        if places is not None:
            try:
                end: AnnexPage = await handle.execute_update(
                    Update.CLOSE_ANNEX, taken, result_type=AnnexPage, rpc_timeout=self._rpc_timeout
                )
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise
            else:
                return end
        return await self._end_of(annex)

    async def announce_annex(self, annex: AnnexStart) -> None:
        """Have a lane read an annex that nobody knows of, because the lane that left it was terminated."""
        lane = lane_id(self._tenancy(), annex.queue, annex.group)
        if annex.key in await self._ask(lane, Query.ANNEXES, [], list[str], otherwise=[]):
            return
        try:
            await self._signal_lane(annex.queue, annex.group, Signal.ANNEX_LEFT, [annex.key])
        except RPCError as exc:
            if not takes_no_more_signals(exc):
                raise

    async def _join_annex(self, queue: str, group: str, signal: Signal, arguments: list[Any]) -> bool:
        """Join behind a lane whose run takes no more signals; answers whether that is still so.

        The annex is that of the very run that refused. When the lane has read it, it is closed, and nobody
        can join it: who comes too late joins the lane, which is in a later run by then.
        """
        lane = lane_id(self._tenancy(), queue, group)
        key = await self._run_of(lane)
        try:
            await self._handle(lane, key).signal(signal, args=arguments, rpc_timeout=self._rpc_timeout)
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return False
            if not takes_no_more_signals(exc):
                raise
        else:
            return True
        while True:
            annex = AnnexStart(self._tenancy(), queue, group, key)
            try:
                await self._signal_annex(annex, signal, arguments)
            except WorkflowAlreadyStartedError:
                return False
            except RPCError as exc:
                if not takes_no_more_signals(exc):
                    raise
                key = await self._run_of(self._annex_id(annex))
            else:
                return True

    async def _run_of(self, workflow_id: str) -> str:
        return (await self._handle(workflow_id).describe(rpc_timeout=self._rpc_timeout)).run_id

    async def _ask(
        self, workflow_id: str, query: Query, arguments: list[Any], result_type: type, *, otherwise: Any
    ) -> Any:
        """Query a workflow that runs; `otherwise` if it does not."""
        try:
            return await self._handle(workflow_id).query(
                query,
                args=arguments,
                result_type=result_type,
                reject_condition=QueryRejectCondition.NOT_OPEN,
                rpc_timeout=self._rpc_timeout,
            )
        except WorkflowQueryRejectedError:
            return otherwise
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return otherwise
            raise

    async def _end_of(self, annex: AnnexStart) -> AnnexPage:
        """Read how an annex ended: closed by a call whose answer got lost, or terminated by somebody."""
        handle = self._connection.client.get_workflow_handle(self._annex_id(annex), result_type=AnnexPage)
        try:
            end: AnnexPage = await handle.result(rpc_timeout=self._rpc_timeout)
        except WorkflowFailureError:
            return AnnexPage(is_closed=True)
        return end

    async def _make_sure_of(self, annex: AnnexStart) -> None:
        """Begin an annex that nobody has joined, so that nobody can join it once it is closed."""
        try:
            await self._start_annex(annex)
        except WorkflowAlreadyStartedError:
            return

    async def _signal_annex(self, annex: AnnexStart, signal: Signal, arguments: list[Any]) -> None:
        await self._start_annex(annex, start_signal=signal, start_signal_args=arguments)

    async def _start_annex(self, annex: AnnexStart, **options: Any) -> None:
        await self._connection.client.start_workflow(
            WorkflowType.FIFO_ANNEX,
            annex,
            id=self._annex_id(annex),
            task_queue=task_queue(annex.tenancy),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=lane_attributes(annex.tenancy, annex.queue, annex.group),
            static_summary=f"queue {annex.queue}, group {annex.group}"[:SUMMARY_LENGTH],
            rpc_timeout=self._rpc_timeout,
            **options,
        )

    async def _signal_lane(self, queue: str, group: str, signal: Signal, arguments: list[Any]) -> None:
        tenancy = self._tenancy()
        await self._connection.client.start_workflow(
            WorkflowType.FIFO_LANE,
            LaneStart(tenancy, queue, group),
            id=lane_id(tenancy, queue, group),
            task_queue=task_queue(tenancy),
            start_signal=signal,
            start_signal_args=arguments,
            search_attributes=lane_attributes(tenancy, queue, group),
            static_summary=f"queue {queue}, group {group}"[:SUMMARY_LENGTH],
            rpc_timeout=self._rpc_timeout,
        )

    def _annex_id(self, annex: AnnexStart) -> str:
        return annex_id(annex.tenancy, annex.queue, annex.group, annex.key)

    def _handle(self, workflow_id: str, run_id: str | None = None) -> WorkflowHandle[Any, Any]:
        return self._connection.client.get_workflow_handle(workflow_id, run_id=run_id)


def takes_no_more_signals(exc: RPCError) -> bool:
    """Tell whether a run has taken all the signals that Temporal lets it take, 10,000 by default."""
    return exc.status is RPCStatusCode.INVALID_ARGUMENT and "limit for signal" in exc.message
