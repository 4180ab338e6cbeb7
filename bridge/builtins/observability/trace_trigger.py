"""The trigger type `trace`: run a function when spans came in (spec 05 §6.4)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from bridge.builtins.observability.offer import OWNER_NAME
from bridge.builtins.observability.spans import SpanRecord
from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine
from bridge.engine.tracing import new_traceparent, trace_id_of
from bridge.engine.triggers import Binding, TriggerType
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload

__all__ = ["TraceTrigger"]

_COALESCED_S = 0.3
_MOST_TRACES = 1000
"""Trace ids told at once; of more, the newest are left out."""
_MOST_OWN_TRACES = 1000
_SAMPLED, _UNSAMPLED = "-01", "-00"


class _Config(msgspec.Struct, frozen=True):
    service_name: str | None = None
    status: str | None = None

    def matches(self, span: SpanRecord) -> bool:
        return _equal(self.service_name, span.service_name) and _equal(self.status, span.status)


@dataclass(slots=True)
class _Watcher:
    binding: Binding
    config: _Config
    trace_ids: dict[str, None] = field(default_factory=dict)


_decoder = msgspec.json.Decoder(_Config)


class TraceTrigger:
    """Tells functions which traces have new spans, at most every 300 ms.

    Its own calls are made unsampled, and spans that come of them all the same do not fire.

    Args:
        engine: Runs the bound functions.
        sleep: Waits.
    """

    def __init__(self, engine: Engine, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._engine = engine
        self._sleep = sleep
        self._watchers: dict[str, _Watcher] = {}
        self._own_traces: dict[str, None] = {}
        self._is_telling = False

    def register(self, engine: Engine) -> None:
        """Provide the trigger type."""
        engine.add_trigger_type(
            TriggerType(
                id="trace",
                description="Runs a function with the ids of traces that have new spans",
                provider=self,
                owner_name=OWNER_NAME,
                configuration_schema=payload.encode(msgspec.json.schema(_Config)),
            )
        )

    def bind(self, binding: Binding) -> None:
        """Watch traces.

        Raises:
            TriggerRejectedError: The configuration is no object, or a filter is no text.
        """
        try:
            config = _decoder.decode(binding.config) if payload.is_present(binding.config) else _Config()
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(
                f"The configuration of trace trigger {binding.id} cannot be used: {exc}. "
                "It is an object with the optional strings service_name and status."
            ) from exc
        self._watchers[binding.id] = _Watcher(binding, config)

    def unbind(self, binding: Binding) -> None:
        """Watch no more."""
        self._watchers.pop(binding.id, None)

    def fire(self, spans: Iterable[SpanRecord]) -> None:
        """Note spans; the functions are told of their traces a moment later."""
        if not self._watchers:
            return
        for span in spans:
            if span.trace_id in self._own_traces or (span.is_internal and span.parent_span_id is None):
                continue
            for watcher in self._watchers.values():
                if len(watcher.trace_ids) < _MOST_TRACES and watcher.config.matches(span):
                    watcher.trace_ids[span.trace_id] = None
        if not self._is_telling and any(each.trace_ids for each in self._watchers.values()):
            self._is_telling = True
            self._engine.spawn(self._tell_soon(), "trace triggers")

    async def _tell_soon(self) -> None:
        try:
            await self._sleep(_COALESCED_S)
        finally:
            self._is_telling = False
        for watcher in list(self._watchers.values()):
            if watcher.trace_ids:
                trace_ids, watcher.trace_ids = list(watcher.trace_ids), {}
                self._tell(watcher.binding, trace_ids)

    def _tell(self, binding: Binding, trace_ids: list[str]) -> None:
        traceparent = new_traceparent(self._engine.new_id()).removesuffix(_SAMPLED) + _UNSAMPLED
        self._own_traces[trace_id_of(traceparent) or ""] = None
        if len(self._own_traces) > _MOST_OWN_TRACES:
            del self._own_traces[next(iter(self._own_traces))]
        call = Call(
            binding.function_id,
            payload.encode({"trace_ids": trace_ids}),
            namespace=binding.namespace,
            metadata=binding.metadata,
            traceparent=traceparent,
        )
        self._engine.start(call, _ignore)


def _equal(wanted: str | None, text: str) -> bool:
    return wanted is None or wanted.lower() == text.lower()


def _ignore(_: Outcome) -> None:
    """Let the outcome go."""
