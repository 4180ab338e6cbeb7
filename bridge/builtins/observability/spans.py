"""Spans: taken from SDKs and from the bridge itself, sampled, kept and passed on (spec 05 §6.4)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from bridge.builtins.observability import otlp
from bridge.builtins.observability.sampling import TraceSampler
from bridge.builtins.observability.settings import ObservabilitySettings
from bridge.builtins.observability.store import BoundedStore

__all__ = ["ExportSpans", "SpanRecord", "Spans"]

_STATUSES = ("unset", "ok", "error")

Pairs = list[tuple[str, str]]

ExportSpans = Callable[[otlp.ResourceSpans, int], None]
"""Sends spans of one sender to a collector; the number says how many they are."""


class SpanEvent(msgspec.Struct, frozen=True):
    """Something that happened during a span."""

    name: str
    timestamp_unix_nano: int
    attributes: Pairs


class SpanLink(msgspec.Struct, frozen=True):
    """A span elsewhere that belongs to a span."""

    trace_id: str
    span_id: str
    trace_state: str | None
    attributes: Pairs


class SpanRecord(msgspec.Struct, frozen=True):
    """One span, as lists show it."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: str
    attributes: Pairs
    service_name: str
    events: list[SpanEvent]
    links: list[SpanLink]
    status_description: str | UnsetType = UNSET
    instrumentation_scope_name: str | UnsetType = UNSET
    instrumentation_scope_version: str | UnsetType = UNSET
    flags: int | UnsetType = UNSET
    trace_state: str | UnsetType = UNSET
    trace_tags: dict[str, str] | UnsetType = UNSET

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_time_unix_nano - self.start_time_unix_nano

    @property
    def is_internal(self) -> bool:
        """Whether it is the engine's own business, which lists leave out by default."""
        return any(
            pair == ("iii.function.kind", "internal")
            or (pair[0] == "function_id" and pair[1].startswith("engine::"))
            for pair in self.attributes
        )


class Spans:
    """Takes spans and keeps the newest.

    Args:
        settings: What is kept.
        sampler: Which spans are kept.
        now_ns: Unix time.
        export: Sends spans to a collector; `None` when there is none.

    Attributes:
        on_spans: Called with the spans that came in together, if any of them is kept.
    """

    def __init__(
        self,
        settings: ObservabilitySettings,
        sampler: TraceSampler,
        now_ns: Callable[[], int],
        export: ExportSpans | None,
    ) -> None:
        self._store: BoundedStore[SpanRecord] = BoundedStore(
            max_count=settings.max_spans, retention_s=None, now_ns=now_ns
        )
        self.on_spans: list[Callable[[Iterable[SpanRecord]], None]] = []
        self.apply(settings, sampler, export)

    def apply(
        self, settings: ObservabilitySettings, sampler: TraceSampler, export: ExportSpans | None
    ) -> None:
        """Take spans from now on by new settings; what is kept stays as far as they allow."""
        self._settings = settings
        self._sampler = sampler
        self._export = export
        self._store.limit(max_count=settings.max_spans, retention_s=None)

    @property
    def are_kept(self) -> bool:
        """Whether spans are kept in memory, so that they can be listed."""
        return self._settings.traces.memory

    @property
    def dropped(self) -> int:
        """How many spans went to make room for newer ones."""
        return self._store.dropped

    def __len__(self) -> int:
        """Return how many spans are kept."""
        return len(self._store)

    def __iter__(self) -> Iterator[SpanRecord]:
        """Iterate over the spans kept, in the order they came in."""
        return iter(self._store)

    def clear(self) -> None:
        """Forget every span."""
        self._store.clear()

    def add(self, record: SpanRecord, size_bytes: int, encode: Callable[[], otlp.ResourceSpans]) -> None:
        """Take one span of the bridge itself.

        Args:
            record: The span.
            size_bytes: About how much memory it takes.
            encode: Gives the span for a collector.
        """
        if not self._sampler.keeps(record.trace_id, record.name, record.service_name):
            return
        self._keep([record], size_bytes)
        if self._export is not None:
            self._export(encode(), 1)

    def take(self, request: otlp.TracesRequest, size_bytes: int) -> None:
        """Take what came in together.

        Args:
            request: The spans.
            size_bytes: Their size on the wire.
        """
        if not self._settings.traces.is_on:
            return
        count = sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        share_bytes = size_bytes // max(1, count)
        kept: list[SpanRecord] = []
        for sender in request.resource_spans:
            kept += self._sample(sender)
        if kept:
            self._keep(kept, share_bytes)

    def _keep(self, records: list[SpanRecord], share_bytes: int) -> None:
        if self.are_kept:
            for record in records:
                self._store.add(record, share_bytes)
            for listener in self.on_spans:
                listener(records)

    def _sample(self, sender: otlp.ResourceSpans) -> list[SpanRecord]:
        """Reduce what a sender sent to what is kept, and pass that on."""
        service = _service_of(sender.resource)
        kept: list[SpanRecord] = []
        for scope in sender.scope_spans:
            scope.spans = [
                each for each in scope.spans if self._sampler.keeps(each.trace_id, each.name, service)
            ]
            kept += [_record(each, service, scope.scope) for each in scope.spans]
        if self._export is not None and kept:
            self._export(sender, len(kept))
        return kept


def _record(span: otlp.Span, service: str, scope: otlp.Scope | None) -> SpanRecord:
    status = span.status or otlp.Status()
    return SpanRecord(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id or None,
        name=span.name,
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.end_time_unix_nano,
        status=_STATUSES[status.code] if 0 <= status.code < len(_STATUSES) else "unset",
        attributes=_pairs(span.attributes),
        service_name=service,
        events=[SpanEvent(each.name, each.time_unix_nano, _pairs(each.attributes)) for each in span.events],
        links=[
            SpanLink(each.trace_id, each.span_id, each.trace_state, _pairs(each.attributes))
            for each in span.links
        ],
        status_description=status.message or UNSET,
        instrumentation_scope_name=scope.name if scope and scope.name else UNSET,
        instrumentation_scope_version=scope.version if scope and scope.version else UNSET,
        flags=UNSET if span.flags is None else span.flags,
        trace_state=span.trace_state or UNSET,
    )


def _service_of(resource: otlp.Resource | None) -> str:
    about = otlp.attributes_of(resource.attributes) if resource else {}
    return str(about.get("service.name") or "unknown")


def _pairs(attributes: list[otlp.KeyValue]) -> Pairs:
    return [(each.key, _text(otlp.plain(each.value))) for each in attributes]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
