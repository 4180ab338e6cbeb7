"""Dead letters settled in bulk: the oldest first, strictly so within a FIFO group, at a given rate."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.connection import TemporalConnection
from bridge.temporal.letter_search import FoundLetter, letters_at, search
from workflows.contract import BulkReport, BulkStart, Update

__all__ = ["BulkSettler"]

log = structlog.get_logger("bridge.queue")

_AT_ONCE = 20
MOST_ERRORS = 20
_LONGEST_ERROR = 500
_PAUSES_S = (1, 2, 4, 8, 16)
_UPDATE_TIMEOUT = timedelta(seconds=30)
_NO_ANSWER = "the dead letter did not answer in time; it may still be settled"


class BulkSettler:
    """Settles the dead letters of bulk operations.

    Args:
        connection: The way to Temporal.
    """

    def __init__(self, connection: TemporalConnection) -> None:
        self._connection = connection

    async def settle(
        self,
        bulk: BulkStart,
        operation_id: str,
        *,
        tell: Callable[[BulkReport], None],
        stop: asyncio.Event,
    ) -> BulkReport:
        """Redrive or discard every dead letter that fits, and was one when the operation began.

        Begun anew after a crash, it finds the same letters: those that it has settled before are asked with
        the same update id, to which Temporal gives the same answer, so that no letter counts twice.

        Args:
            bulk: What to do.
            operation_id: Tells this operation from others.
            tell: Told how far it has come.
            stop: Set to begin no more.

        Raises:
            RPCError, EngineError: Temporal cannot be reached; begin anew when it can.

        Cancellation: letters that are being settled may or may not be.
        """
        client = self._connection.client
        query = letters_at(bulk.tenancy, bulk.letters, bulk.began_at_ms)
        found = [_letter(each) async for each in search(client, query, bulk.letters)]
        found.sort(key=lambda letter: letter.failed_at_ms)
        run = _Run(client, bulk.decision, operation_id, found[: bulk.limit], bulk.rate_per_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(_AT_ONCE):
                    tasks.create_task(run.settle_lines(tell, stop), name=f"settle dead letters {number}")
        except* RPCError as group:
            raise group.exceptions[0] from None
        report = run.report(is_over=True, is_cancelled=stop.is_set())
        log.info(
            "dead letters settled",
            operation_id=operation_id,
            decision=bulk.decision,
            matched=report.matched,
            done=report.done,
            skipped=report.skipped,
            failed=report.failed,
        )
        return report


@dataclass(frozen=True, slots=True)
class _Letter:
    """What is kept of each dead letter until it is settled: there may be a hundred thousand."""

    workflow_id: str
    run_id: str
    receipt: str
    line: str
    failed_at_ms: int
    is_open: bool


def _letter(found: FoundLetter) -> _Letter:
    return _Letter(
        workflow_id=found.execution.id,
        run_id=found.execution.run_id,
        receipt=found.memo["receipt"],
        line=found.line,
        failed_at_ms=found.memo["failed_at_ms"],
        is_open=found.is_open,
    )


class _Run:
    """One operation's letters, in lines that must keep their order, and what has become of them."""

    def __init__(
        self,
        client: Client,
        decision: Update,
        operation_id: str,
        letters: list[_Letter],
        rate_per_s: float | None,
    ) -> None:
        self._client = client
        self._decision = decision
        self._operation_id = operation_id
        self._matched = len(letters)
        lines: dict[str, list[_Letter]] = {}
        for letter in letters:
            lines.setdefault(letter.line, []).append(letter)
        self._lines = deque(lines.values())
        self._pace_s = 1 / rate_per_s if rate_per_s else 0.0
        self._next_at_s = 0.0
        self._done = self._skipped = self._failed = 0
        self._errors: list[str] = []

    def report(self, *, is_over: bool = False, is_cancelled: bool = False) -> BulkReport:
        """Return how far it has come; once it is over, what was never begun counts as skipped."""
        return BulkReport(
            matched=self._matched,
            done=self._done,
            skipped=self._matched - self._done - self._failed if is_over else self._skipped,
            failed=self._failed,
            errors=tuple(self._errors),
            is_cancelled=is_cancelled,
        )

    async def settle_lines(self, tell: Callable[[BulkReport], None], stop: asyncio.Event) -> None:
        """Settle one line after the other until none is left."""
        while self._lines and not stop.is_set():
            line = self._lines.popleft()
            for position, letter in enumerate(line, start=1):
                if letter.is_open:
                    await self._keep_pace(stop)
                if stop.is_set():
                    return
                is_settled = await self._settle(letter)
                if not is_settled:
                    self._skipped += len(line) - position  # they must not overtake it
                tell(self.report())
                if not is_settled:
                    break

    async def _keep_pace(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        begins_at_s = max(self._next_at_s, loop.time())
        self._next_at_s = begins_at_s + self._pace_s
        if begins_at_s > loop.time():
            try:
                async with asyncio.timeout_at(begins_at_s):
                    await stop.wait()
            except TimeoutError:
                return

    async def _settle(self, letter: _Letter) -> bool:
        """Ask a letter to take the decision; answers whether it is out of the way of those behind it."""
        try:
            has_taken_it = await self._ask(letter)
        except WorkflowUpdateFailedError as exc:
            return self._fail(letter, str(exc.cause))
        except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from exc  # the client takes a cancellation for a time-out
            return self._fail(letter, _NO_ANSWER)
        except RPCError as exc:
            if exc.status is RPCStatusCode.UNAVAILABLE:
                raise
            if exc.status is not RPCStatusCode.NOT_FOUND:
                return self._fail(letter, f"{exc.status.name}: {exc.message}")
            has_taken_it = False  # somebody else has settled it
        self._done += has_taken_it
        self._skipped += not has_taken_it
        return True

    async def _ask(self, letter: _Letter) -> bool:
        """Ask, patiently where the namespace has a limit on calls."""
        handle = self._client.get_workflow_handle(letter.workflow_id, run_id=letter.run_id)
        pauses_s = list(_PAUSES_S)
        while True:
            try:
                has_taken_it: bool = await handle.execute_update(
                    self._decision, id=self._operation_id, result_type=bool, rpc_timeout=_UPDATE_TIMEOUT
                )
            except RPCError as exc:
                if exc.status is not RPCStatusCode.RESOURCE_EXHAUSTED or not pauses_s:
                    raise
                await asyncio.sleep(pauses_s.pop(0))
            else:
                return has_taken_it

    def _fail(self, letter: _Letter, why: str) -> bool:
        self._failed += 1
        if len(self._errors) < MOST_ERRORS:
            self._errors.append(f"{letter.receipt}: {why[:_LONGEST_ERROR]}")
        return False
