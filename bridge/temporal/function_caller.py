"""Calls of functions by workflows of other people, seen from the bridge (docs/interop.md)."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from activities.functions import ActivityCall, FunctionCallFailedError
from bridge.engine.access import Pattern
from bridge.engine.calls import DEFAULT_NAMESPACE, Call
from bridge.engine.engine import Engine
from bridge.engine.tracing import baggage_without_tags, continue_trace, new_traceparent, valid_traceparent
from bridge.protocol import payload
from bridge.temporal.delivery import METADATA_KEY

__all__ = ["EngineFunctionCaller", "FunctionActivitySettings"]


@dataclass(frozen=True, slots=True)
class FunctionActivitySettings:
    """Which functions workflows may call as activities.

    Attributes:
        functions: Their ids.
        namespaces: The namespaces of iii in which they are looked up, the first that has one first.
        concurrency: How many such calls run on this bridge at the same time.
    """

    functions: tuple[Pattern, ...] = (Pattern("*"),)
    namespaces: tuple[str, ...] = (DEFAULT_NAMESPACE,)
    concurrency: int = 100


class EngineFunctionCaller:
    """Calls functions through the engine, as a sync call of a worker does.

    Args:
        engine: Routes the call.
        settings: What may be called.
        new_id: Makes fresh UUIDs.
    """

    def __init__(self, engine: Engine, settings: FunctionActivitySettings, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._settings = settings
        self._new_id = new_id

    async def call(self, call: ActivityCall) -> bytes:
        """Return what the function answers, JSON.

        Raises:
            FunctionCallFailedError: It failed, nobody offers it, or workflows may not call it.

        Cancellation: the handler keeps running, its answer is dropped.
        """
        if not any(pattern.matches(call.function_id) for pattern in self._settings.functions):
            raise FunctionCallFailedError(
                "FORBIDDEN",
                f"Workflows may not call {call.function_id}; "
                "`iii-temporal.function_activities.functions` of the bridge says which functions they may",
                is_final=True,
            )
        outcome = await self._engine.invoke(
            Call(
                function_id=call.function_id,
                data=msgspec.Raw(call.data),
                namespace=self._namespace_of(call.function_id),
                metadata=payload.encode({METADATA_KEY: call.facts}),
                traceparent=self._traceparent(call),
                baggage=baggage_without_tags(call.baggage),
            )
        )
        if outcome.error is not None:
            failed = outcome.error
            raise FunctionCallFailedError(
                failed.code or "invocation_failed", failed.message, failed.stacktrace
            )
        return bytes(outcome.result) or bytes(payload.NULL)

    def _namespace_of(self, function_id: str) -> str:
        names = self._settings.namespaces
        return next((each for each in names if self._engine.has_provider(function_id, each)), names[0])

    def _traceparent(self, call: ActivityCall) -> str:
        if given := valid_traceparent(call.traceparent):
            return continue_trace(given, self._new_id())
        return new_traceparent(self._new_id(), uuid.UUID(call.run_id).hex if call.run_id else None)
