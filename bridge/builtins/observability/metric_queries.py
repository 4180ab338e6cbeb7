"""`engine::metrics::list` and `engine::rollups::list` (spec 05 §6.5)."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bridge.builtins.observability.engine_statistics import EngineStatistics
from bridge.builtins.observability.offer import offer
from bridge.builtins.observability.rollups import LEVELS, Rollup, Rollups
from bridge.builtins.observability.sdk_metrics import MetricRecord, NumberPoint, SdkMetrics
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["MetricQueries"]

_MILLISECOND_NS = 1_000_000
_SECOND_NS = 1_000_000_000
_DEFAULT_WINDOW_MS = 3_600_000
_LATEST_MS = (2**64 - 1) // _MILLISECOND_NS
_LONGEST_INTERVAL_S = (2**64 - 1) // _SECOND_NS


class _MetricsInput(msgspec.Struct, frozen=True):
    start_time: int | None = None
    end_time: int | None = None
    aggregate_interval: int | None = None
    metric_name: str | None = None


class _RollupsInput(msgspec.Struct, frozen=True):
    start_time: int | None = None
    end_time: int | None = None
    level: Annotated[int, Meta(ge=0, lt=len(LEVELS))] | None = None
    metric_name: str | None = None


_metrics_decoder = msgspec.json.Decoder(_MetricsInput)
_rollups_decoder = msgspec.json.Decoder(_RollupsInput)


class MetricQueries:
    """Answers what was measured.

    Args:
        statistics: What the engine counts.
        metrics: What the SDKs report.
        rollups: What was reported before.
        now_ns: Unix time.
    """

    def __init__(
        self,
        statistics: EngineStatistics,
        metrics: SdkMetrics,
        rollups: Rollups,
        now_ns: Callable[[], int],
    ) -> None:
        self._statistics = statistics
        self._metrics = metrics
        self._rollups = rollups
        self._now_ns = now_ns

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        offer(
            engine, "engine::metrics::list", self._list_metrics, "Lists metrics of the engine and of workers"
        )
        offer(engine, "engine::rollups::list", self._list_rollups, "Lists metrics summed up over time")

    async def _list_metrics(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _metrics_decoder)
        window = _window(asked.start_time, asked.end_time)
        found = [
            each
            for each in self._metrics
            if asked.metric_name in (None, each.name)
            and (window is None or window[0] <= each.timestamp_unix_nano <= window[1])
        ]
        answer: dict[str, Any] = {
            "engine_metrics": self._statistics.describe(),
            "sdk_metrics": found,
            "timestamp": self._now_ns() // _MILLISECOND_NS,
        }
        if asked.aggregate_interval:
            interval_ns = _nanoseconds(asked.aggregate_interval, _SECOND_NS, _LONGEST_INTERVAL_S)
            answer["aggregated_metrics"] = _aggregate(found, interval_ns)
        if asked != _MetricsInput():
            answer["query"] = asked
        return payload.encode(answer)

    async def _list_rollups(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _rollups_decoder)
        now_ms = self._now_ns() // _MILLISECOND_NS
        level = asked.level or 0
        end_ms = now_ms if asked.end_time is None else asked.end_time
        start_ms = end_ms - _DEFAULT_WINDOW_MS if asked.start_time is None else asked.start_time
        numbers, histograms = self._rollups.list(
            level, _milliseconds(start_ms), _milliseconds(end_ms), asked.metric_name
        )
        return payload.encode(
            {
                "rollups": numbers,
                "histogram_rollups": histograms,
                "level": level,
                "query": asked,
                "timestamp": now_ms,
            }
        )


def _window(start_ms: int | None, end_ms: int | None) -> tuple[int, int] | None:
    """Return the window in nanoseconds; without both of its ends there is none."""
    if start_ms is None or end_ms is None:
        return None
    return _milliseconds(start_ms), _milliseconds(end_ms)


def _milliseconds(value: int) -> int:
    return _nanoseconds(value, _MILLISECOND_NS, _LATEST_MS)


def _nanoseconds(value: int, unit_ns: int, largest: int) -> int:
    if not -largest <= value <= largest:
        raise FunctionFailedError(
            "time_value_overflow", f"The time {value} is out of range; give {largest} at most"
        )
    return value * unit_ns


def _aggregate(records: Iterable[MetricRecord], interval_ns: int) -> list[Rollup]:
    """Sum up numbers by name and interval."""
    buckets: dict[tuple[str, int], Rollup] = {}
    for record in records:
        for point in record.data_points:
            if isinstance(point, NumberPoint):
                start_ns = point.timestamp_unix_nano - point.timestamp_unix_nano % interval_ns
                fresh = Rollup(record.name, start_ns, start_ns + interval_ns)
                buckets.setdefault((record.name, start_ns), fresh).add(point.value)
    return [bucket for _, bucket in sorted(buckets.items())]
