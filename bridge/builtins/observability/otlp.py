"""OTLP in its JSON form, as SDKs send it in binary frames and collectors take it (spec 01 §1.8)."""

from typing import Any

import msgspec

__all__ = [
    "AnyValue",
    "DataPoint",
    "Event",
    "Histogram",
    "KeyValue",
    "Link",
    "LogRecord",
    "LogsRequest",
    "Metric",
    "MetricsRequest",
    "Numbers",
    "Resource",
    "ResourceLogs",
    "ResourceMetrics",
    "ResourceSpans",
    "Scope",
    "ScopeLogs",
    "ScopeMetrics",
    "ScopeSpans",
    "Span",
    "Status",
    "TracesRequest",
    "attributes_of",
    "key_values",
    "plain",
]


class _Otlp(msgspec.Struct, rename="camel", omit_defaults=True):
    """Base of the messages. 64-bit numbers may come as text: decode them with `strict=False`."""


class AnyValue(_Otlp):
    """A value of one of the kinds."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    bytes_value: str | None = None
    array_value: "ArrayValue | None" = None
    kvlist_value: "KeyValueList | None" = None


class ArrayValue(_Otlp):
    """A list."""

    values: list[AnyValue] = []


class KeyValue(_Otlp):
    """An attribute."""

    key: str
    value: AnyValue | None = None


class KeyValueList(_Otlp):
    """A mapping."""

    values: list[KeyValue] = []


class Resource(_Otlp):
    """Who sends."""

    attributes: list[KeyValue] = []


class Scope(_Otlp):
    """The library that recorded."""

    name: str = ""
    version: str = ""


class Status(_Otlp):
    """How a span ended: 0 unset, 1 ok, 2 error."""

    code: int = 0
    message: str = ""


class Event(_Otlp):
    """Something that happened during a span."""

    name: str = ""
    time_unix_nano: int = 0
    attributes: list[KeyValue] = []


class Link(_Otlp):
    """A span elsewhere that belongs to a span."""

    trace_id: str
    span_id: str
    trace_state: str | None = None
    attributes: list[KeyValue] = []


class Span(_Otlp):
    """An operation."""

    trace_id: str
    span_id: str
    name: str = ""
    parent_span_id: str | None = None
    kind: int = 0
    start_time_unix_nano: int = 0
    end_time_unix_nano: int = 0
    attributes: list[KeyValue] = []
    events: list[Event] = []
    links: list[Link] = []
    status: Status | None = None
    flags: int | None = None
    trace_state: str | None = None


class ScopeSpans(_Otlp):
    """The spans of one library."""

    scope: Scope | None = None
    spans: list[Span] = []


class ResourceSpans(_Otlp):
    """The spans of one sender."""

    resource: Resource | None = None
    scope_spans: list[ScopeSpans] = []


class TracesRequest(_Otlp):
    """What is sent at once."""

    resource_spans: list[ResourceSpans] = []


class LogRecord(_Otlp):
    """One log."""

    time_unix_nano: int = 0
    observed_time_unix_nano: int = 0
    severity_number: int = 0
    severity_text: str = ""
    body: AnyValue | None = None
    attributes: list[KeyValue] = []
    trace_id: str | None = None
    span_id: str | None = None


class ScopeLogs(_Otlp):
    """The logs of one library."""

    scope: Scope | None = None
    log_records: list[LogRecord] = []


class ResourceLogs(_Otlp):
    """The logs of one sender."""

    resource: Resource | None = None
    scope_logs: list[ScopeLogs] = []


class LogsRequest(_Otlp):
    """What is sent at once."""

    resource_logs: list[ResourceLogs] = []


class DataPoint(_Otlp):
    """One number, or one histogram."""

    attributes: list[KeyValue] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    as_int: int | None = None
    as_double: float | None = None
    count: int = 0
    sum: float = 0.0
    bucket_counts: list[int] = []
    explicit_bounds: list[float] = []
    min: float | None = None
    max: float | None = None

    @property
    def number(self) -> float:
        """The number of a point that is no histogram."""
        if self.as_double is not None:
            return self.as_double
        return float(self.as_int or 0)


class Numbers(_Otlp):
    """The points of a gauge or a sum."""

    data_points: list[DataPoint] = []
    aggregation_temporality: int = 0
    is_monotonic: bool = False


class Histogram(_Otlp):
    """The points of a histogram."""

    data_points: list[DataPoint] = []
    aggregation_temporality: int = 0


class Metric(_Otlp):
    """One metric; exactly one of the kinds is there."""

    name: str
    description: str = ""
    unit: str = ""
    gauge: Numbers | None = None
    sum: Numbers | None = None
    histogram: Histogram | None = None


class ScopeMetrics(_Otlp):
    """The metrics of one library."""

    scope: Scope | None = None
    metrics: list[Metric] = []


class ResourceMetrics(_Otlp):
    """The metrics of one sender."""

    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] = []


class MetricsRequest(_Otlp):
    """What is sent at once."""

    resource_metrics: list[ResourceMetrics] = []


def plain(value: AnyValue | None) -> Any:
    """Return a value as JSON has it."""
    if value is None:
        return None
    if value.array_value is not None:
        return [plain(each) for each in value.array_value.values]
    if value.kvlist_value is not None:
        return attributes_of(value.kvlist_value.values)
    kinds = (value.string_value, value.bool_value, value.int_value, value.double_value, value.bytes_value)
    return next((each for each in kinds if each is not None), None)


def attributes_of(pairs: list[KeyValue]) -> dict[str, Any]:
    """Return attributes as a JSON object."""
    return {pair.key: plain(pair.value) for pair in pairs}


def key_values(attributes: dict[str, Any]) -> list[KeyValue]:
    """Return a JSON object as attributes."""
    return [KeyValue(key, _any_value(value)) for key, value in attributes.items()]


def _any_value(value: Any) -> AnyValue:
    found = AnyValue()
    match value:
        case bool():
            found.bool_value = value
        case int():
            found.int_value = value
        case float():
            found.double_value = value
        case str():
            found.string_value = value
        case list():
            found.array_value = ArrayValue([_any_value(each) for each in value])
        case dict():
            found.kvlist_value = KeyValueList(key_values(value))
        case _:
            pass  # null is a value of no kind
    return found
