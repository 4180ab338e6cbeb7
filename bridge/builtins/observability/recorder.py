"""The bridge's own spans: requests, calls, messages and deliveries, in the traces of who caused them."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from msgspec import UNSET

from bridge.builtins.observability import otlp
from bridge.builtins.observability.identity import own_resource, own_scope
from bridge.builtins.observability.settings import ObservabilitySettings
from bridge.builtins.observability.spans import SpanRecord, Spans
from bridge.engine.calls import Outcome
from bridge.engine.observation import (
    CallStart,
    DeliveryStart,
    EnqueueStart,
    Observer,
    OnAnswered,
    OnEnd,
    RequestStart,
    broken_off,
)
from bridge.engine.tracing import valid_traceparent
from bridge.protocol.inbound import ErrorBody

__all__ = ["SpanRecorder"]

_INTERNAL, _SERVER, _PRODUCER, _CONSUMER = 1, 2, 4, 5
_OK, _ERROR = 1, 2
_OWN_SPAN_BYTES = 1024
_SAMPLED = 1
_SPAN_ID_LENGTH = 16
_FLAGS = slice(53, 55)
_ENGINE = "engine::"


class SpanRecorder(Observer):
    """Records a span for everything the bridge does for somebody.

    Not recorded: `engine::` functions, which consoles make all the time, and what is unsampled.

    Args:
        settings: What the bridge calls itself.
        spans: Where the spans go.
        new_id: Makes fresh UUIDs.
        now_ns: Unix time.
    """

    def __init__(
        self,
        settings: ObservabilitySettings,
        spans: Spans,
        new_id: Callable[[], str],
        now_ns: Callable[[], int],
    ) -> None:
        self._service_name = settings.service_name
        self._resource = own_resource(settings)
        self._scope = own_scope(settings)
        self._spans = spans
        self._new_id = new_id
        self._now_ns = now_ns

    def call_started(self, start: CallStart) -> Callable[[Outcome], None] | None:
        """Record a call: below its caller, or at the root of the trace that it begins."""
        call = start.call
        if call.function_id.startswith(_ENGINE) or not _is_sampled(start.traceparent):
            return None
        parent = valid_traceparent(call.traceparent)
        own = None if parent is None else self._new_id().replace("-", "")[:_SPAN_ID_LENGTH]
        end = self._begin(
            f"call {call.function_id}",
            start.traceparent,
            parent,
            _INTERNAL,
            {
                "function_id": call.function_id,
                "iii.namespace": call.namespace,
                "iii.worker.id": start.worker.id if start.worker else None,
                "iii.chain_id": call.job.chain_id if call.job else None,
                "iii.receipt": call.job.receipt if call.job else None,
            },
            span_id=own,
        )
        return lambda outcome: end(outcome.error)

    def request_started(self, start: RequestStart) -> OnAnswered | None:
        """Record a request, above the functions it calls; from status 400 on it is an error."""
        if start.function_id.startswith(_ENGINE) or not _is_sampled(start.traceparent):
            return None
        attributes: dict[str, Any] = {
            "function_id": start.function_id,
            "http.request.method": start.method,
            "http.route": start.route,
            "url.path": start.path,
        }
        name = f"{start.method} {start.route}"
        end = self._begin(name, start.traceparent, start.parent, _SERVER, attributes)

        def answered(status: int | None) -> None:
            attributes["http.response.status_code"] = status
            end(_http_error(status))

        return answered

    def enqueue_started(self, start: EnqueueStart) -> OnEnd | None:
        """Record a message on its way into a queue."""
        if not _is_sampled(start.traceparent):
            return None
        return self._begin(
            f"enqueue {start.call.function_id}",
            start.traceparent,
            start.parent,
            _PRODUCER,
            {"function_id": start.call.function_id, "messaging.destination.name": start.queue},
        )

    def delivery_started(self, start: DeliveryStart) -> OnEnd | None:
        """Record an attempt, below the message it is for."""
        if not _is_sampled(start.traceparent):
            return None
        return self._begin(
            f"deliver {start.function_id}",
            start.traceparent,
            start.parent,
            _CONSUMER,
            {
                "function_id": start.function_id,
                "messaging.destination.name": start.queue,
                "iii.chain_id": start.chain_id,
                "iii.receipt": start.receipt,
                "iii.attempt": start.attempt,
                "temporal.workflow_id": start.workflow_id,
            },
        )

    def _begin(
        self,
        name: str,
        traceparent: str,
        parent: str | None,
        kind: int,
        attributes: dict[str, Any],
        *,
        span_id: str | None = None,
    ) -> OnEnd:
        _, trace_id, own_id, _ = traceparent.split("-", 3)
        above = valid_traceparent(parent)
        began_ns = self._now_ns()

        def end(error: ErrorBody | None) -> None:
            pairs = [(key, str(value)) for key, value in attributes.items() if value is not None]
            if error is not None:
                pairs.append(("error.type", error.code))
            record = SpanRecord(
                trace_id=trace_id,
                span_id=span_id or own_id,
                parent_span_id=above.split("-")[2] if above else None,
                name=name,
                start_time_unix_nano=began_ns,
                end_time_unix_nano=self._now_ns(),
                status="error" if error else "ok",
                status_description=error.message if error else UNSET,
                attributes=pairs,
                service_name=self._service_name,
                events=[],
                links=[],
                instrumentation_scope_name=self._scope.name,
                instrumentation_scope_version=self._scope.version,
                flags=_SAMPLED,
            )
            self._spans.add(record, _OWN_SPAN_BYTES, lambda: self._encode(record, kind, error))

        return end

    def _encode(self, record: SpanRecord, kind: int, error: ErrorBody | None) -> otlp.ResourceSpans:
        span = otlp.Span(
            trace_id=record.trace_id,
            span_id=record.span_id,
            parent_span_id=record.parent_span_id,
            name=record.name,
            kind=kind,
            start_time_unix_nano=record.start_time_unix_nano,
            end_time_unix_nano=record.end_time_unix_nano,
            attributes=otlp.key_values(dict(record.attributes)),
            status=otlp.Status(_ERROR, error.message) if error else otlp.Status(_OK),
            flags=_SAMPLED,
        )
        return otlp.ResourceSpans(self._resource, [otlp.ScopeSpans(self._scope, [span])])


def _http_error(status: int | None) -> ErrorBody | None:
    if status is None:
        return broken_off()
    if status >= HTTPStatus.BAD_REQUEST:
        return ErrorBody(str(status), f"Answered with status {status}")
    return None


def _is_sampled(traceparent: str) -> bool:
    return bool(int(traceparent[_FLAGS], 16) & _SAMPLED)
