"""What the engine itself counts, in iii's shape (spec 05 §6.5)."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from bridge.engine.calls import Outcome
from bridge.engine.engine import Engine
from bridge.engine.observation import CallStart, EnqueueStart, Observer, OnEnd
from bridge.engine.workers import Worker
from bridge.protocol.inbound import ErrorBody

__all__ = ["DURATION_BOUNDS_S", "EngineStatistics"]

DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets that OpenTelemetry gives durations: each holds what is no longer than its bound."""

_MOST_FUNCTIONS = 1000
_KEPT_DURATIONS = 1000
_MILLISECONDS = 1000
_PERCENTILES = (50, 95, 99)


class EngineStatistics(Observer):
    """Counts calls and workers since the bridge started; durations are those of the last 1,000 calls.

    `deferred` counts the messages accepted for durable execution: calls whose outcome comes later.

    Args:
        engine: What is counted.
        clock_s: A clock that never goes back.

    Attributes:
        duration_counts: How many calls took how long, by bucket; the last one has no bound.
        duration_sum_s: How long all calls took together.
    """

    def __init__(self, engine: Engine, clock_s: Callable[[], float]) -> None:
        self._engine = engine
        self._clock_s = clock_s
        self._success = self._error = self._deferred = 0
        self._spawns = self._deaths = 0
        self._by_function: Counter[str] = Counter()
        self._durations_ms: deque[float] = deque(maxlen=_KEPT_DURATIONS)
        self.duration_counts = [0] * (len(DURATION_BOUNDS_S) + 1)
        self.duration_sum_s = 0.0
        engine.observers.append(self)
        engine.on_worker_event.append(self._worker_changed)

    def call_started(self, start: CallStart) -> Callable[[Outcome], None]:
        """Count a call when it ends."""
        began_s = self._clock_s()
        function_id, is_offered = (
            start.call.function_id,
            start.function is not None,
        )  # not the payload, for so long

        def end(outcome: Outcome) -> None:
            if outcome.error is None:
                self._success += 1
            else:
                self._error += 1
            duration_s = self._clock_s() - began_s
            self._durations_ms.append(duration_s * _MILLISECONDS)
            self.duration_counts[bisect_left(DURATION_BOUNDS_S, duration_s)] += 1
            self.duration_sum_s += duration_s
            if is_offered and (function_id in self._by_function or self._has_room):
                self._by_function[function_id] += 1

        return end

    def enqueue_started(self, start: EnqueueStart) -> OnEnd:  # noqa: ARG002 - the interface of observers
        """Count a message when it is accepted."""

        def end(error: ErrorBody | None) -> None:
            self._deferred += error is None

        return end

    def numbers(self) -> dict[str, float]:
        """Return what alerts may watch, by the metric's name."""
        return {
            "iii.invocations.total": self._success + self._error,
            "iii.invocations.success": self._success,
            "iii.invocations.error": self._error,
            "iii.invocations.deferred": self._deferred,
            "iii.workers.spawns": self._spawns,
            "iii.workers.deaths": self._deaths,
            "iii.workers.active": len(self._engine.workers),
        }

    def describe(self) -> dict[str, Any]:
        """Return the `engine_metrics` of `engine::metrics::list`."""
        return {
            "invocations": {
                "total": self._success + self._error,
                "success": self._success,
                "error": self._error,
                "deferred": self._deferred,
                "by_function": dict(self._by_function),
            },
            "workers": {"spawns": self._spawns, "deaths": self._deaths, "active": len(self._engine.workers)},
            "performance": self._performance(),
        }

    @property
    def _has_room(self) -> bool:
        return len(self._by_function) < _MOST_FUNCTIONS

    def _performance(self) -> dict[str, float]:
        ordered = sorted(self._durations_ms) or [0.0]
        percentiles = {
            f"p{each}_duration_ms": ordered[min(len(ordered) - 1, len(ordered) * each // 100)]
            for each in _PERCENTILES
        }
        return {
            "avg_duration_ms": sum(ordered) / len(ordered),
            **percentiles,
            "min_duration_ms": ordered[0],
            "max_duration_ms": ordered[-1],
        }

    def _worker_changed(self, event: str, _: Worker) -> None:
        self._spawns += event == "worker_connected"
        self._deaths += event == "worker_disconnected"
