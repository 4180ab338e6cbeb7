"""Many dead letters redriven or discarded at once: `iii::queue::redrive`, and what is ours around it."""

from collections.abc import Callable
from typing import Any

import msgspec

from bridge.builtins.queue.functions import OWNER_NAME
from bridge.builtins.queue.inputs import BulkInput, OperationInput, read_bulk, read_operation, schema_of
from bridge.builtins.queue.ports import BulkStore, DeadLetterStore, Operation, Resolver
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import BuiltinHandler, FunctionSchema
from bridge.errors import BridgeError, FunctionFailedError
from bridge.protocol import payload
from workflows.contract import BulkReport, Update

__all__ = ["BulkFunctions"]

_WAIT_S = 20.0
"""How long a caller waits for the end: SDKs wait 30 s for an answer."""
_DONE_KEYS = {Update.REDRIVE: "redriven", Update.DISCARD: "discarded"}
_OPERATION_NOT_FOUND = "operation_not_found"


class BulkFunctions:
    """Bulk operations: begun, watched and cancelled.

    Each goes on by itself, also when its caller or this bridge is gone.

    Args:
        bulk: Where bulk operations are.
        dead_letters: Where dead letters are.
        resolve: Finds the internal queues of a name.
        now_ms: Unix time.
    """

    def __init__(
        self,
        bulk: BulkStore,
        dead_letters: DeadLetterStore,
        resolve: Resolver,
        now_ms: Callable[[], int],
    ) -> None:
        self._bulk = bulk
        self._dead_letters = dead_letters
        self._resolve = resolve
        self._now_ms = now_ms

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        functions: dict[str, tuple[BuiltinHandler, FunctionSchema]] = {
            "iii::queue::redrive": (
                self._redrive,
                schema_of(BulkInput, "Send dead letters of a queue on their way again"),
            ),
            "iii::queue::discard": (
                self._discard,
                schema_of(BulkInput, "Let dead letters of a queue go for good"),
            ),
            "iii::queue::operation": (
                self._operation,
                schema_of(OperationInput, "Tell how far a bulk operation has come"),
            ),
            "iii::queue::cancel_operation": (
                self._cancel,
                schema_of(OperationInput, "Have a bulk operation begin no more"),
            ),
        }
        for function_id, (handler, schema) in functions.items():
            engine.add_builtin(function_id, handler, owner_name=OWNER_NAME, schema=schema)

    async def _redrive(self, call: Call) -> msgspec.Raw:
        return await self._settle(read_bulk(call), Update.REDRIVE)

    async def _discard(self, call: Call) -> msgspec.Raw:
        return await self._settle(read_bulk(call), Update.DISCARD)

    async def _settle(self, bulk: BulkInput, decision: Update) -> msgspec.Raw:
        try:
            queues = tuple(await self._resolve(bulk.name))
            letters = bulk.letters(queues, self._now_ms())
            if bulk.dry_run:
                matched = await self._dead_letters.count(letters)
                matched = matched if bulk.limit is None else min(matched, bulk.limit)
                counted = BulkReport(matched=matched, skipped=matched)
                return payload.encode(_report(bulk.given, decision, counted) | {"dry_run": True})
            operation_id = await self._bulk.start(
                bulk.given, letters, decision, rate_per_s=bulk.rate_per_s, limit=bulk.limit
            )
        except BridgeError as exc:
            verb = decision.removeprefix("iii.")
            raise FunctionFailedError(
                f"{verb}_failed", f"Queue '{bulk.given}': no dead letter was touched. {exc}"
            ) from exc
        return payload.encode(await self._answer(bulk, decision, operation_id))

    async def _answer(self, bulk: BulkInput, decision: Update, operation_id: str) -> dict[str, Any]:
        try:
            operation = await self._bulk.wait(operation_id, _WAIT_S if bulk.wait else 0)
        except BridgeError:
            operation = None  # it has begun, and that is known
        if operation is None:
            begun = {"operation_id": operation_id, "status": "running"}
            return _report(bulk.given, decision, BulkReport()) | begun
        if bulk.is_plain and operation.status == "done" and not operation.report.failed:
            return {"queue": bulk.given, _DONE_KEYS[decision]: operation.report.done}
        return _row(operation)

    async def _operation(self, call: Call) -> msgspec.Raw:
        operation_id = read_operation(call)
        try:
            operation = await self._bulk.look(operation_id)
        except BridgeError as exc:
            raise FunctionFailedError("operation_failed", str(exc)) from exc
        if operation is None:
            raise _unknown(operation_id)
        return payload.encode(_row(operation))

    async def _cancel(self, call: Call) -> msgspec.Raw:
        operation_id = read_operation(call)
        try:
            was_running = await self._bulk.cancel(operation_id)
        except BridgeError as exc:
            raise FunctionFailedError("cancel_operation_failed", str(exc)) from exc
        return payload.encode({"operation_id": operation_id, "cancelled": int(was_running)})


def _report(queue: str, decision: Update, report: BulkReport) -> dict[str, Any]:
    """Return what was counted: once it has ended, the first number is the sum of the others."""
    return {
        "queue": queue,
        _DONE_KEYS[decision]: report.done,
        "matched": report.matched,
        "skipped": report.skipped,
        "failed": report.failed,
        "errors": list(report.errors),
    }


def _row(operation: Operation) -> dict[str, Any]:
    return _report(operation.queue, operation.decision, operation.report) | {
        "operation_id": operation.id,
        "status": operation.status,
        "began_at_ms": operation.began_at_ms,
    }


def _unknown(operation_id: str) -> FunctionFailedError:
    return FunctionFailedError(
        _OPERATION_NOT_FOUND,
        f"There is no bulk operation {operation_id}. Temporal forgets one that has ended after the retention "
        "time of its namespace.",
    )
