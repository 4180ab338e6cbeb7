"""How the processes of the workers fare: read from the gauges that SDKs report (spec 05 §2.1)."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from bridge.builtins.observability.sdk_metrics import MetricRecord, NumberPoint
from bridge.engine.workers import Worker, WorkerMetrics

__all__ = ["WorkerGauges"]

_FIELDS: dict[str, tuple[str, type[int] | type[float]]] = {
    "iii.worker.memory.heap_used": ("memory_heap_used", int),
    "iii.worker.memory.heap_total": ("memory_heap_total", int),
    "iii.worker.memory.rss": ("memory_rss", int),
    "iii.worker.memory.external": ("memory_external", int),
    "iii.worker.cpu.user_micros": ("cpu_user_micros", int),
    "iii.worker.cpu.system_micros": ("cpu_system_micros", int),
    "iii.worker.cpu.percent": ("cpu_percent", float),
    "iii.worker.event_loop.lag_ms": ("event_loop_lag_ms", float),
    "iii.worker.uptime_seconds": ("uptime_seconds", int),
}
_WORKER_ID = "worker.id"
_MILLISECOND_NS = 1_000_000


class WorkerGauges:
    """Notes the newest report at each worker it is about.

    Args:
        workers: The connected workers, by id.
    """

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers

    def take(self, records: Iterable[MetricRecord]) -> None:
        """Take one report; what it says of workers that are not connected is passed over."""
        readings: dict[str, dict[str, float]] = {}
        reported_at_ns = 0
        for record in records:
            if record.name not in _FIELDS:
                continue
            field, kind = _FIELDS[record.name]
            for point in record.data_points:
                if isinstance(point, NumberPoint) and math.isfinite(point.value):
                    of_worker = readings.setdefault(str(point.attributes.get(_WORKER_ID)), {})
                    of_worker[field] = kind(point.value)
                    reported_at_ns = max(reported_at_ns, point.timestamp_unix_nano)
        for worker_id, values in readings.items():
            if worker := self._workers.get(worker_id):
                about = {"timestamp_ms": reported_at_ns // _MILLISECOND_NS, "runtime": worker.info.runtime}
                worker.latest_metrics = msgspec.convert({**about, **values}, WorkerMetrics)
