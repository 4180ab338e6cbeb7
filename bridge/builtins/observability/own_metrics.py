"""The bridge's own instruments for a collector, under the names of iii's (spec 05 §6.5)."""

from collections.abc import Callable
from typing import Any

from bridge.builtins.observability import otlp
from bridge.builtins.observability.engine_statistics import DURATION_BOUNDS_S, EngineStatistics
from bridge.builtins.observability.identity import own_resource, own_scope
from bridge.builtins.observability.settings import ObservabilitySettings

__all__ = ["OwnMetrics"]

_CUMULATIVE = 2


class OwnMetrics:
    """Reads the numbers of the engine for a collector; they count from now.

    Args:
        statistics: The numbers.
        now_ns: Unix time.
    """

    def __init__(self, statistics: EngineStatistics, now_ns: Callable[[], int]) -> None:
        self._statistics = statistics
        self._now_ns = now_ns
        self._began_ns = now_ns()

    def read(self, settings: ObservabilitySettings) -> tuple[otlp.ResourceMetrics, int]:
        """Return the metrics as they are now, and how many they are.

        Args:
            settings: What the bridge calls itself.
        """
        numbers = self._statistics.numbers()
        metrics = [
            self._counter("iii.invocations.total", "Calls that ended", numbers["iii.invocations.total"]),
            self._counter(
                "iii.invocation.errors.total", "Calls that failed", numbers["iii.invocations.error"]
            ),
            self._durations("iii.invocation.duration", "How long calls took"),
            self._gauge("iii.workers.active", "Workers connected now", numbers["iii.workers.active"]),
            self._counter(
                "iii.workers.spawns.total", "Workers that connected", numbers["iii.workers.spawns"]
            ),
            self._counter("iii.workers.deaths.total", "Workers that left", numbers["iii.workers.deaths"]),
        ]
        scope = otlp.ScopeMetrics(own_scope(settings), metrics)
        return otlp.ResourceMetrics(own_resource(settings), [scope]), len(metrics)

    def _counter(self, name: str, description: str, count: float) -> otlp.Metric:
        return otlp.Metric(
            name, description, sum=otlp.Numbers([self._point(as_int=int(count))], _CUMULATIVE, True)
        )

    def _gauge(self, name: str, description: str, count: float) -> otlp.Metric:
        return otlp.Metric(name, description, gauge=otlp.Numbers([self._point(as_int=int(count))]))

    def _durations(self, name: str, description: str) -> otlp.Metric:
        counts = self._statistics.duration_counts
        point = self._point(
            count=sum(counts),
            sum=self._statistics.duration_sum_s,
            bucket_counts=list(counts),
            explicit_bounds=list(DURATION_BOUNDS_S),
        )
        return otlp.Metric(name, description, "s", histogram=otlp.Histogram([point], _CUMULATIVE))

    def _point(self, **value: Any) -> otlp.DataPoint:
        return otlp.DataPoint(start_time_unix_nano=self._began_ns, time_unix_nano=self._now_ns(), **value)
