"""What `/metrics` tells: counters fed by what happens, and gauges read when somebody asks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from bridge.engine.calls import Outcome
from bridge.engine.engine import Engine
from bridge.engine.observation import (
    POSTPONED,
    CallStart,
    DeadLetterLimit,
    DeliveryStart,
    EnqueueStart,
    Observer,
    OnEnd,
    QueueState,
)
from bridge.engine.workers import Worker
from bridge.errors import BridgeError
from bridge.protocol.inbound import ErrorBody

__all__ = ["BridgeMetrics", "ReadQueues"]

_CALL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DISPATCH_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_MOST_FUNCTIONS = 1000
"""Function ids that get time series of their own; the others share the label `(other)`."""
_FIRST_ATTEMPT = 1


ReadQueues = Callable[[], Awaitable[Sequence[QueueState]]]
"""Asks Temporal about the queues; raises `BridgeError` when it does not answer."""


@dataclass(frozen=True, slots=True)
class _CallSeries:
    """What is counted of one function."""

    succeeded: Counter
    failed: Counter
    seconds: Histogram


class BridgeMetrics(Observer):
    """Counts what the bridge does.

    Args:
        engine: What is counted.
        version: The version of the bridge.
        queues: The named queues, which may change, and when the dead letters of each are too many, if that is
            set.
        read_queues: Asks about the queues.
        clock_s: A clock that never goes back.
        now_ms: Unix time.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        version: str,
        queues: Mapping[str, DeadLetterLimit | None],
        read_queues: ReadQueues,
        clock_s: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._clock_s = clock_s
        self._now_ms = now_ms
        self._read_queues = read_queues
        self._call_series: dict[str, _CallSeries] = {}
        # Otherwise every counter has a second series that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._add_engine(engine, version)
        self._add_calls()
        self._add_queues(queues)
        engine.observers.append(self)
        engine.on_worker_event.append(self._worker_changed)

    def watch_connections(self, listener: str, count: Callable[[], int]) -> None:
        """Show how many connections a listener has.

        Args:
            listener: Its name in the label, such as `workers`.
            count: Counts them now.
        """
        self._connections.labels(listener).set_function(count)

    async def render(self) -> bytes:
        """Return everything in Prometheus' text format.

        Cancellation: safe.
        """
        self._begin_queues()
        await self._refresh_queues()
        return generate_latest(self.registry)

    def call_started(self, start: CallStart) -> Callable[[Outcome], None]:
        """Count a call and measure how long it takes."""
        series = self._series_of(start)
        began_s = self._clock_s()
        self._in_flight.inc()

        def end(outcome: Outcome) -> None:
            self._in_flight.dec()
            (series.failed if outcome.error else series.succeeded).inc()
            series.seconds.observe(self._clock_s() - began_s)

        return end

    def enqueue_started(self, start: EnqueueStart) -> OnEnd:
        """Count a message that was accepted or refused."""

        def end(error: ErrorBody | None) -> None:
            is_known = start.queue in self._queues or start.queue in self._seen_queues
            queue = start.queue if is_known else "(unknown)"
            self._enqueued.labels(queue, "refused" if error else "accepted").inc()

        return end

    def delivery_started(self, start: DeliveryStart) -> OnEnd:
        """Count an attempt, and how long a message waited for its first one."""
        queue = start.queue
        in_flight = self._queue_in_flight.labels(queue)
        in_flight.inc()
        if start.attempt == _FIRST_ATTEMPT and start.enqueued_at_ms:
            waited_ms = max(0, self._now_ms() - start.enqueued_at_ms)
            self._dispatch_seconds.labels(queue).observe(waited_ms / 1000)

        def end(error: ErrorBody | None) -> None:
            in_flight.dec()
            self._attempts.labels(queue, _attempt_result(error)).inc()

        return end

    def _add_engine(self, engine: Engine, version: str) -> None:
        registry = self.registry
        Gauge("iii_build_info", "The version, as a label.", ["version"], registry=registry).labels(
            version
        ).set(1)
        Gauge("iii_workers", "Workers connected now.", registry=registry).set_function(
            lambda: len(engine.workers)
        )
        Gauge("iii_functions", "Functions on offer now.", registry=registry).set_function(
            lambda: sum(1 for _ in engine.functions)
        )
        Gauge("iii_trigger_bindings", "Triggers in force now.", registry=registry).set_function(
            lambda: sum(1 for _ in engine.triggers.bindings)
        )
        self._worker_events = Counter(
            "iii_worker_events_total", "Workers that connected or left.", ["event"], registry=registry
        )
        for event in ("worker_connected", "worker_disconnected"):
            self._worker_events.labels(event)
        self._connections = Gauge(
            "iii_connections", "Open connections by listener.", ["listener"], registry=registry
        )

    def _add_calls(self) -> None:
        registry = self.registry
        self._in_flight = Gauge("iii_calls_in_flight", "Calls that have no outcome yet.", registry=registry)
        self._calls = Counter(
            "iii_calls_total", "Calls that ended, by function.", ["function_id", "result"], registry=registry
        )
        self._call_seconds = Histogram(
            "iii_call_duration_seconds",
            "How long calls took, by function.",
            ["function_id"],
            buckets=_CALL_BUCKETS_S,
            registry=registry,
        )

    def _add_queues(self, queues: Mapping[str, DeadLetterLimit | None]) -> None:
        registry = self.registry
        self._queues = queues
        self._seen_queues: set[str] = set()
        self._enqueued = Counter(
            "iii_queue_messages_total",
            "Messages accepted or refused.",
            ["queue", "result"],
            registry=registry,
        )
        self._attempts = Counter(
            "iii_queue_attempts_total",
            "Attempts on this bridge that ended; a postponed one did not count for its message.",
            ["queue", "result"],
            registry=registry,
        )
        self._queue_in_flight = Gauge(
            "iii_queue_in_flight", "Attempts that run on this bridge.", ["queue"], registry=registry
        )
        self._dispatch_seconds = Histogram(
            "iii_queue_dispatch_latency_seconds",
            "From the receipt of a message to the begin of its first attempt.",
            ["queue"],
            buckets=_DISPATCH_BUCKETS_S,
            registry=registry,
        )
        self._temporal_up = Gauge("iii_temporal_up", "Whether Temporal answers.", registry=registry)
        self._depth = Gauge(
            "iii_queue_depth",
            "Attempts that wait for a free slot, over all bridges.",
            ["queue"],
            registry=registry,
        )
        self._oldest = Gauge(
            "iii_queue_oldest_seconds",
            "How long the oldest of them has waited.",
            ["queue"],
            registry=registry,
        )
        self._waiting = Gauge(
            "iii_queue_waiting_for_provider",
            "Workflows that wait for somebody to offer a function, by the queue they began on.",
            ["queue"],
            registry=registry,
        )
        self._dead_letters = Gauge(
            "iii_queue_dead_letters", "Dead letters, over all bridges.", ["queue"], registry=registry
        )
        self._capacities = Gauge(
            "iii_queue_dead_letter_capacity",
            "How many dead letters the operator is ready to have: dlq.capacity of the queue, if set.",
            ["queue"],
            registry=registry,
        )
        self._thresholds = Gauge(
            "iii_queue_dead_letter_threshold",
            "How many dead letters are too many: dlq.alert_at of the capacity.",
            ["queue"],
            registry=registry,
        )
        self._too_many = Gauge(
            "iii_queue_dead_letter_alert",
            "Whether the dead letters have reached the threshold.",
            ["queue"],
            registry=registry,
        )

    def _begin_queues(self) -> None:
        """Show the counters of each queue from the beginning, so that a rate over them is never missing."""
        for gauge in (self._capacities, self._thresholds):
            gauge.clear()
        for name, limit in self._queues.items():
            self._queue_in_flight.labels(name)
            self._dispatch_seconds.labels(name)
            for result in ("accepted", "refused"):
                self._enqueued.labels(name, result)
            for result in ("success", "error", "postponed"):
                self._attempts.labels(name, result)
            if limit is not None:
                self._capacities.labels(name).set(limit.capacity)
                self._thresholds.labels(name).set(limit.threshold)

    async def _refresh_queues(self) -> None:
        """Ask Temporal; what is not known now is not shown."""
        gauges = (self._depth, self._oldest, self._waiting, self._dead_letters, self._too_many)
        try:
            queues = await self._read_queues()
        except BridgeError:
            self._temporal_up.set(0)
            for gauge in gauges:
                gauge.clear()
            return
        self._temporal_up.set(1)
        self._seen_queues = {queue.name for queue in queues}
        for gauge in gauges:
            gauge.clear()
        for queue in queues:
            self._depth.labels(queue.name).set(queue.depth)
            self._oldest.labels(queue.name).set(queue.oldest_s)
            self._dead_letters.labels(queue.name).set(queue.dead_letters)
            if limit := self._queues.get(queue.name):
                self._too_many.labels(queue.name).set(queue.dead_letters >= limit.threshold)
            if queue.waiting is not None:
                self._waiting.labels(queue.name).set(queue.waiting)

    def _series_of(self, start: CallStart) -> _CallSeries:
        """Return a function's time series; ids that nobody offers and ids beyond the limit share theirs."""
        function_id = start.function.id if start.function else "(unknown)"
        series = self._call_series.get(function_id)
        if series is None:
            if len(self._call_series) >= _MOST_FUNCTIONS and start.function:
                function_id = "(other)"
            series = self._call_series[function_id] = _CallSeries(
                succeeded=self._calls.labels(function_id, "success"),
                failed=self._calls.labels(function_id, "error"),
                seconds=self._call_seconds.labels(function_id),
            )
        return series

    def _worker_changed(self, event: str, _: Worker) -> None:
        if event != "worker_metadata_updated":
            self._worker_events.labels(event).inc()


def _attempt_result(error: ErrorBody | None) -> str:
    if error is None:
        return "success"
    return "postponed" if error.code == POSTPONED else "error"
