"""Metrics of the workers, as their SDKs report them (spec 05 §6.5)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from bridge.builtins.observability import otlp
from bridge.builtins.observability.rollups import Rollups
from bridge.builtins.observability.settings import ObservabilitySettings
from bridge.builtins.observability.store import BoundedStore

__all__ = ["ExportMetrics", "HistogramPoint", "MetricRecord", "NumberPoint", "SdkMetrics"]

OnReport = Callable[[list["MetricRecord"]], None]
"""Told of the metrics in one report of an SDK."""

ExportMetrics = Callable[[otlp.ResourceMetrics, int], None]
"""Sends metrics of one sender to a collector; the number says how many they are."""


class NumberPoint(msgspec.Struct, frozen=True):
    """One value at one time."""

    value: float
    attributes: dict[str, Any]
    timestamp_unix_nano: int


class HistogramPoint(msgspec.Struct, frozen=True):
    """One distribution at one time."""

    count: int
    sum: float
    bucket_counts: list[int]
    explicit_bounds: list[float]
    min: float | None
    max: float | None
    attributes: dict[str, Any]
    timestamp_unix_nano: int


class MetricRecord(msgspec.Struct, frozen=True):
    """One report of a metric, as lists show it."""

    name: str
    description: str
    unit: str
    metric_type: str
    data_points: list[NumberPoint] | list[HistogramPoint]
    service_name: str
    timestamp_unix_nano: int
    instrumentation_scope_name: str | UnsetType = UNSET
    instrumentation_scope_version: str | UnsetType = UNSET

    @property
    def number(self) -> float | None:
        """The value over all series: the sum of the points; for a histogram, how often it was recorded."""
        points: Iterable[NumberPoint | HistogramPoint] = self.data_points
        values = [each.value if isinstance(each, NumberPoint) else each.count for each in points]
        return sum(values) if values else None


class SdkMetrics:
    """Takes reports and keeps the newest.

    Args:
        settings: What is kept.
        rollups: Sums them up for longer than they are kept.
        now_ns: Unix time.
        export: Sends metrics to a collector; `None` when there is none.
        on_report: Told of every report that is kept.
    """

    def __init__(
        self,
        settings: ObservabilitySettings,
        rollups: Rollups,
        now_ns: Callable[[], int],
        export: ExportMetrics | None,
        on_report: OnReport,
    ) -> None:
        self._rollups = rollups
        self._now_ns = now_ns
        self._on_report = on_report
        self._store: BoundedStore[MetricRecord] = BoundedStore(
            max_count=settings.max_metrics, retention_s=settings.metrics_retention_s, now_ns=now_ns
        )
        self.apply(settings, export)

    def apply(self, settings: ObservabilitySettings, export: ExportMetrics | None) -> None:
        """Take reports from now on by new settings; what is kept stays as far as they allow."""
        self._settings = settings
        self._export = export
        self._store.limit(max_count=settings.max_metrics, retention_s=settings.metrics_retention_s)

    def __len__(self) -> int:
        """Return how many reports are kept."""
        return len(self._store)

    def __iter__(self) -> Iterator[MetricRecord]:
        """Iterate over the reports kept, oldest first."""
        return iter(self._store)

    def latest(self, name: str) -> float | None:
        """Return the newest value of a metric, summed up over its series."""
        newest = None
        for record in self._store:
            if record.name == name:
                newest = record.number
        return newest

    def take(self, request: otlp.MetricsRequest, size_bytes: int) -> None:
        """Take what an SDK sent.

        Args:
            request: The metrics.
            size_bytes: Their size on the wire.
        """
        if not self._settings.metrics.is_on:
            return
        for sender in request.resource_metrics:
            records = list(self._records(sender))
            if self._settings.metrics.memory:
                self._on_report(records)
                for record in records:
                    self._store.add(record, size_bytes // len(records))
                    self._roll_up(record)
            if self._export is not None and records:
                self._export(sender, len(records))

    def _records(self, sender: otlp.ResourceMetrics) -> Iterator[MetricRecord]:
        about = otlp.attributes_of(sender.resource.attributes) if sender.resource else {}
        service = str(about.get("service.name") or "unknown")
        for scope in sender.scope_metrics:
            for metric in scope.metrics:
                kind, points = _points(metric, self._now_ns())
                if points:
                    yield MetricRecord(
                        name=metric.name,
                        description=metric.description,
                        unit=metric.unit,
                        metric_type=kind,
                        data_points=points,
                        service_name=service,
                        timestamp_unix_nano=max(each.timestamp_unix_nano for each in points),
                        instrumentation_scope_name=_name(scope.scope),
                        instrumentation_scope_version=_version(scope.scope),
                    )

    def _roll_up(self, record: MetricRecord) -> None:
        for point in record.data_points:
            if isinstance(point, NumberPoint):
                self._rollups.add_number(record.name, point.timestamp_unix_nano, point.value)
            else:
                self._rollups.add_histogram(record.name, point)


def _points(metric: otlp.Metric, now_ns: int) -> tuple[str, list[NumberPoint] | list[HistogramPoint]]:
    if metric.histogram is not None:
        return "histogram", [_histogram(each, now_ns) for each in metric.histogram.data_points]
    numbers, kind = metric.gauge, "gauge"
    if metric.sum is not None:
        numbers, kind = metric.sum, "counter" if metric.sum.is_monotonic else "updowncounter"
    points = numbers.data_points if numbers is not None else []
    return kind, [
        NumberPoint(each.number, otlp.attributes_of(each.attributes), each.time_unix_nano or now_ns)
        for each in points
    ]


def _histogram(point: otlp.DataPoint, now_ns: int) -> HistogramPoint:
    return HistogramPoint(
        count=point.count,
        sum=point.sum,
        bucket_counts=point.bucket_counts,
        explicit_bounds=point.explicit_bounds,
        min=point.min,
        max=point.max,
        attributes=otlp.attributes_of(point.attributes),
        timestamp_unix_nano=point.time_unix_nano or now_ns,
    )


def _name(scope: otlp.Scope | None) -> str | UnsetType:
    return scope.name if scope and scope.name else UNSET


def _version(scope: otlp.Scope | None) -> str | UnsetType:
    return scope.version if scope and scope.version else UNSET
