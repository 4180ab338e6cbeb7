"""Chains, read by whoever has a receipt: what has become of a message, and of everything it led to."""

import base64
import binascii
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.chains import (
    UNKNOWN,
    ChainFilter,
    ChainPage,
    ChainRow,
    ChainView,
    Ending,
    HoldView,
    StepView,
)
from bridge.errors import EngineError, FunctionFailedError
from bridge.temporal.chain_history import Result, delivered_in, read_result
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.lanes import Lanes
from bridge.temporal.query_text import quoted
from workflows.contract import (
    ChainState,
    Hold,
    Query,
    SearchAttribute,
    StepRecord,
    StepStatus,
    Tenancy,
    WorkflowType,
)
from workflows.names import chain_id, receipt_tag, search_text, workflow_type

__all__ = ["ChainReader"]

_CANDIDATES = 20
_RPC_TIMEOUT = timedelta(seconds=10)
_STATUSES = {
    WorkflowExecutionStatus.RUNNING: "running",
    WorkflowExecutionStatus.CONTINUED_AS_NEW: "running",
    WorkflowExecutionStatus.COMPLETED: "completed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "cancelled",
    WorkflowExecutionStatus.TERMINATED: "terminated",
    WorkflowExecutionStatus.TIMED_OUT: "timed_out",
}
_STATUS_QUERIES = {
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Canceled",
    "terminated": "Terminated",
}


@dataclass(frozen=True, slots=True)
class _Place:
    workflow_id: str
    record: StepRecord


class ChainReader:
    """Finds and reads chains.

    Every method raises `EngineError` when Temporal does not answer, or a payload cannot be read.

    Args:
        connection: The way to Temporal.
        lanes: The lines of FIFO groups.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, lanes: Lanes, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._lanes = lanes
        self._tenancy = tenancy

    async def chain_of(self, receipt: str, home: str | None = None) -> str | None:
        """Find the workflow id of the chain that keeps a message.

        Args:
            receipt: The message's.
            home: The receipt of a chain that probably has it.
        """
        async with _temporal_errors():
            place = await self._place(receipt, home)
            if place is not None:
                return place.workflow_id
            own = chain_id(self._tenancy(), receipt)
            return own if await self._state(own) is not None else None

    async def get(
        self, receipt: str, home: str | None = None, *, with_results: bool = True
    ) -> ChainView | None:
        """Read the chain of a message.

        Args:
            receipt: The message's, or that of the first message of the chain.
            home: The receipt of a chain that probably has it.
            with_results: Whether to read the results, too, which takes reading the history.
        """
        workflow_id = await self.chain_of(receipt, home)
        if workflow_id is None:
            return None
        async with _temporal_errors():
            handle = self._connection.client.get_workflow_handle(workflow_id)
            row = await handle.describe()
            state = await self._state(
                workflow_id
            )  # after it, so that of a chain that has ended it is the last
            if state is None:
                return None
            results = await self._results(workflow_id, state) if with_results else {}
        return ChainView(
            chain=self._row(row, state),
            steps=[_step(record, results.get(record.receipt)) for record in state.steps],
            waiting=[_hold(hold) for hold in state.holds],
            compensations_owed=state.owed,
        )

    async def ending(self, receipt: str, home: str | None = None) -> Ending:
        """Tell what has become of a message by now."""
        async with _temporal_errors():
            place = await self._place(receipt, home)
            if place is None:
                return await self._ending_in_a_lane(receipt)
            record = place.record
            if record.status == StepStatus.COMPLETED:
                delivered = await delivered_in(self._connection.client, place.workflow_id, record.run_id)
                return await self._completed(receipt, delivered.get(receipt), place.workflow_id)
        error = record.detail if record.status == StepStatus.LOST else None
        return Ending(receipt, record.status, error=error, workflow_id=place.workflow_id)

    async def page(self, wanted: ChainFilter, limit: int, cursor: str | None) -> ChainPage:
        """List chains, newest first.

        Raises:
            FunctionFailedError: The filter or the cursor cannot be used.
        """
        async with _temporal_errors():
            found = self._connection.client.list_workflows(
                self._query(wanted), page_size=limit, next_page_token=_token(cursor)
            )
            await found.fetch_next_page()
            rows = [self._row(execution) for execution in found.current_page or ()]
            following = found.next_page_token
        return ChainPage(rows, base64.urlsafe_b64encode(following).decode() if following else None)

    async def cancel(self, workflow_id: str) -> bool:
        """Ask a chain to end and to compensate; answers whether it ran."""
        async with _temporal_errors():
            handle = self._connection.client.get_workflow_handle(workflow_id)
            try:
                if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                    return False
                await handle.cancel()
            except RPCError as exc:
                if exc.status is RPCStatusCode.NOT_FOUND:
                    return False
                raise
        return True

    async def lanes_of(self, receipt: str) -> list[WorkflowExecution]:
        """Find the lanes that may keep a message themselves, the latest run first."""
        if not self._tenancy().has_search_attributes:
            return []
        query = (
            f"WorkflowType = '{WorkflowType.FIFO_LANE}' "
            f"AND {SearchAttribute.CHAIN} = '{receipt_tag(receipt)}' "
            f"AND WorkflowId STARTS_WITH '{self._tenancy().prefix}.'"
        )
        lanes = self._connection.client.list_workflows(query, limit=_CANDIDATES)
        return [lane async for lane in lanes]

    async def _place(self, receipt: str, home: str | None) -> _Place | None:
        """Find a chain that has a message: by its own id, by a hint, by what its receipt begins with."""
        tried = set()
        for likely in dict.fromkeys(each for each in (receipt, home) if each):
            workflow_id = chain_id(self._tenancy(), likely)
            tried.add(workflow_id)
            if (place := await self._place_in(workflow_id, receipt)) is not None:
                return place
        prefix = chain_id(self._tenancy(), receipt_tag(receipt))
        similar = self._connection.client.list_workflows(
            f"WorkflowId STARTS_WITH '{prefix}'", limit=_CANDIDATES
        )
        async for execution in similar:
            if execution.id not in tried:
                tried.add(execution.id)
                if (place := await self._place_in(execution.id, receipt)) is not None:
                    return place
        return None

    async def _place_in(self, workflow_id: str, receipt: str) -> _Place | None:
        state = await self._state(workflow_id)
        if state is None:
            return None
        for record in state.steps:
            if record.receipt == receipt:
                return _Place(workflow_id, record)
        for hold in state.holds:
            if hold.receipt == receipt:
                waiting = StepRecord(receipt, hold.then.function_id, hold.then.queue, StepStatus.WAITING)
                return _Place(workflow_id, waiting)
        return None

    async def _state(self, workflow_id: str) -> ChainState | None:
        handle = self._connection.client.get_workflow_handle(workflow_id)
        try:
            state: ChainState = await handle.query(
                Query.CHAIN, result_type=ChainState, rpc_timeout=_RPC_TIMEOUT
            )
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        except WorkflowQueryFailedError as exc:
            # It is there. Who would be told that it is not would go on without it.
            raise EngineError(f"{workflow_id} cannot be read: {exc}") from exc
        return state

    async def _ending_in_a_lane(self, receipt: str) -> Ending:
        for lane in await self.lanes_of(receipt):
            try:
                delivered = await delivered_in(self._connection.client, lane.id, lane.run_id)
            except RPCError as exc:
                if exc.status is RPCStatusCode.NOT_FOUND:
                    continue
                raise
            if receipt not in delivered:
                is_running = lane.status is WorkflowExecutionStatus.RUNNING
                if is_running and await self._lanes.holds(lane.id, receipt):
                    return Ending(receipt, StepStatus.WAITING, workflow_id=lane.id)
            elif (kept := delivered[receipt]) is not None:
                return await self._completed(receipt, kept, lane.id)
            else:
                # A message that failed is handed to a chain, which is found as soon as it has it.
                return Ending(receipt, StepStatus.RUNNING, workflow_id=lane.id)
        return Ending(receipt, UNKNOWN)

    async def _completed(self, receipt: str, kept: Payload | None, workflow_id: str) -> Ending:
        result = Result(None) if kept is None else await read_result(self._connection.client, kept)
        return Ending(
            receipt,
            StepStatus.COMPLETED,
            result.value,
            workflow_id=workflow_id,
            result_omitted=result.omission is not None,
            detail=result.omission or "",
        )

    async def _results(self, workflow_id: str, state: ChainState) -> dict[str, Result]:
        runs = {record.run_id for record in state.steps if record.status == StepStatus.COMPLETED}
        results: dict[str, Result] = {}
        for run_id in sorted(filter(None, runs)):
            delivered = await delivered_in(self._connection.client, workflow_id, run_id)
            for receipt, kept in delivered.items():
                if kept is not None:
                    results[receipt] = await read_result(self._connection.client, kept)
        return results

    def _query(self, wanted: ChainFilter) -> str:
        terms = [f"WorkflowId STARTS_WITH '{chain_id(self._tenancy(), '')}'"]
        if wanted.status is not None:
            if wanted.status not in _STATUS_QUERIES:
                raise FunctionFailedError(
                    "invalid_status",
                    f"'{wanted.status}' is no status of a chain; use one of: {', '.join(_STATUS_QUERIES)}",
                )
            terms.append(f"ExecutionStatus = '{_STATUS_QUERIES[wanted.status]}'")
        if wanted.function_id is not None:
            terms.append(f"WorkflowType = {quoted(workflow_type(wanted.function_id))}")
        if wanted.queue is not None:
            terms.append(f"{SearchAttribute.QUEUE} = {quoted(search_text(wanted.queue))}")
        if wanted.chain_id is not None:
            terms.append(f"{SearchAttribute.CHAIN} = {quoted(wanted.chain_id)}")
        if wanted.started_after_ms is not None:
            terms.append(f"StartTime > '{_time(wanted.started_after_ms)}'")
        if wanted.started_before_ms is not None:
            terms.append(f"StartTime < '{_time(wanted.started_before_ms)}'")
        return " AND ".join(terms)

    def _row(self, execution: WorkflowExecution, state: ChainState | None = None) -> ChainRow:
        attributes = execution.search_attributes
        status = _STATUSES.get(execution.status, UNKNOWN) if execution.status is not None else UNKNOWN
        if state is not None and state.is_undoing:
            status = "compensating" if status == "running" else "compensated"
        return ChainRow(
            workflow_id=execution.id,
            run_id=execution.run_id,
            function_id=execution.workflow_type,
            status=status,
            started_at_ms=_unix_ms(execution.start_time),
            ended_at_ms=_unix_ms(execution.close_time) if execution.close_time else None,
            chain_id=_first(attributes.get(SearchAttribute.CHAIN)),
            queue=_first(attributes.get(SearchAttribute.QUEUE)),
            namespace=self._connection.address.namespace,
        )


def _step(record: StepRecord, result: Result | None) -> StepView:
    result = result or Result(None)
    return StepView(
        receipt=record.receipt,
        function_id=record.function_id,
        queue=record.queue,
        status=record.status,
        detail=result.omission or record.detail,
        parent=record.parent,
        compensates=record.compensates,
        enqueued_at_ms=record.enqueued_at_ms,
        began_at_ms=record.began_at_ms,
        ended_at_ms=record.ended_at_ms,
        result=result.value,
        result_omitted=result.omission is not None,
    )


def _hold(hold: Hold) -> HoldView:
    return HoldView(hold.receipt, hold.then.function_id, hold.event, hold.receipts, hold.until_ms)


def _first(values: object) -> str | None:
    return str(values[0]) if isinstance(values, (list, tuple)) and values else None


def _unix_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC).isoformat()


def _token(cursor: str | None) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(cursor) if cursor else None
    except (binascii.Error, ValueError) as exc:
        raise FunctionFailedError(
            "invalid_cursor", "The cursor is not one that chain::list has given; leave it out to begin"
        ) from exc


@asynccontextmanager
async def _temporal_errors() -> AsyncIterator[None]:
    try:
        yield
    except RPCError as exc:
        raise EngineError(
            f"Temporal did not answer ({exc.status.name}): {exc.message}. Try again when it is back."
        ) from exc
