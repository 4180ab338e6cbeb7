"""The built-in worker `iii-observability`: logs, traces, metrics, alerts and health (spec 05 §6)."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import structlog

from bridge.builtins.observability import otlp
from bridge.builtins.observability.alerts import Alerts, Post
from bridge.builtins.observability.baggage import register_baggage
from bridge.builtins.observability.call_log import CallLog
from bridge.builtins.observability.engine_statistics import EngineStatistics
from bridge.builtins.observability.export import OtlpExporter
from bridge.builtins.observability.log_trigger import LogTrigger
from bridge.builtins.observability.logs import Logs
from bridge.builtins.observability.metric_queries import MetricQueries
from bridge.builtins.observability.offer import offer
from bridge.builtins.observability.own_metrics import OwnMetrics
from bridge.builtins.observability.recorder import SpanRecorder
from bridge.builtins.observability.rollups import Rollups
from bridge.builtins.observability.sampling import TraceSampler
from bridge.builtins.observability.sdk_metrics import SdkMetrics
from bridge.builtins.observability.settings import Destination, ObservabilitySettings
from bridge.builtins.observability.spans import Spans
from bridge.builtins.observability.trace_trigger import TraceTrigger
from bridge.builtins.observability.traces import TraceQueries
from bridge.builtins.observability.worker_gauges import WorkerGauges
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.protocol import payload

__all__ = ["Observability"]

log = structlog.get_logger("bridge.observability")

_FRAME_LIMIT_BYTES = 16 * 1024 * 1024
_PREFIX_LENGTH = 4
_FLUSH_TIMEOUT_S = 3.0
_REPORT_INTERVAL_S = 60.0
"""How often the bridge sends its own metrics: the interval that OpenTelemetry suggests."""
_MILLISECOND_NS = 1_000_000


class Observability:
    """Takes telemetry from workers and from the bridge itself, and answers questions about it.

    Everything is bounded by count, size and age; what is older or more is forgotten.

    Args:
        engine: What is watched.
        settings: What is kept and where it goes.
        post: Calls the webhooks of alert rules.
        clock_s: A clock that never goes back.
        now_ns: Unix time.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ObservabilitySettings,
        *,
        post: Post,
        clock_s: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock_s = clock_s
        self._now_ns = now_ns
        self._exporter = _new_exporter(settings)
        self._recorder: SpanRecorder | None = None
        self._sampler = TraceSampler(settings.sampling, clock_s)
        self._logs = Logs(settings, now_ns, None)
        self._spans = Spans(settings, self._sampler, now_ns, None)
        self._rollups = Rollups(now_ns)
        self._metrics = SdkMetrics(settings, self._rollups, now_ns, None, WorkerGauges(engine.workers).take)
        self._statistics = EngineStatistics(engine, clock_s)
        self._own_metrics = OwnMetrics(self._statistics, now_ns)
        self._alerts = Alerts(settings.alerts, self._read_metric, engine, post=post, now_ns=now_ns)
        self._decoders: dict[bytes, tuple[msgspec.json.Decoder[Any], Callable[[Any, int], None]]] = {
            b"OTLP": (msgspec.json.Decoder(otlp.TracesRequest, strict=False), self._spans.take),
            b"LOGS": (msgspec.json.Decoder(otlp.LogsRequest, strict=False), self._logs.take),
            b"MTRC": (msgspec.json.Decoder(otlp.MetricsRequest, strict=False), self._metrics.take),
        }
        engine.observers.append(CallLog(clock_s))
        self._pass_on_settings()

    def register(self, engine: Engine) -> None:
        """Offer the functions and provide the trigger types."""
        self._logs.register(engine)
        register_baggage(engine)
        TraceQueries(self._spans).register(engine)
        MetricQueries(self._statistics, self._metrics, self._rollups, self._now_ns).register(engine)
        self._alerts.register(engine)
        offer(engine, "engine::sampling::rules", self._sampling_rules, "Tells which telemetry is kept")
        offer(engine, "engine::health::check", self._check_health, "Tells what is switched on")
        log_trigger, trace_trigger = LogTrigger(engine), TraceTrigger(engine)
        log_trigger.register(engine)
        trace_trigger.register(engine)
        self._logs.on_log.append(log_trigger.fire)
        self._spans.on_spans.append(trace_trigger.fire)

    async def start(self) -> None:
        """Begin to evaluate alert rules and to export."""
        self._engine.spawn(self._alerts.run(), "alert rules")
        self._engine.spawn(self._keep_reporting(), "own metrics")
        if self._exporter is not None:
            self._engine.spawn(self._exporter.run(), "telemetry export")

    async def apply(self, settings: ObservabilitySettings) -> None:
        """Change the settings while running; what is kept stays as far as they allow (spec 05 §9).

        Cancellation: safe; what waited for the collector that was left may be lost.
        """
        before, self._settings = self._settings, settings
        left = None
        if _collector_of(settings) != _collector_of(before):
            left, self._exporter = self._exporter, _new_exporter(settings)
            if self._exporter is not None:
                self._engine.spawn(self._exporter.run(), "telemetry export")
        if settings.sampling != before.sampling:
            self._sampler = TraceSampler(settings.sampling, self._clock_s)
        self._alerts.apply(settings.alerts)
        self._pass_on_settings()
        if left is not None:
            await left.close(_FLUSH_TIMEOUT_S)

    async def close(self) -> None:
        """Send what waits for the collector, within three seconds."""
        self._report_own_metrics()
        if self._exporter is not None:
            await self._exporter.close(_FLUSH_TIMEOUT_S)

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_INTERVAL_S)
            self._report_own_metrics()

    def _report_own_metrics(self) -> None:
        if self._exporter is not None and self._settings.metrics.otlp:
            self._exporter.add_metrics(*self._own_metrics.read(self._settings))

    def take_frame(self, frame: bytes) -> None:
        """Take a telemetry frame of a worker; one that cannot be understood is logged and dropped."""
        known = self._decoders.get(frame[:_PREFIX_LENGTH])
        if known is None or len(frame) > _FRAME_LIMIT_BYTES:
            log.warning("telemetry dropped", reason="unknown kind, or too large", size_bytes=len(frame))
            return
        decoder, take = known
        try:
            request = decoder.decode(memoryview(frame)[_PREFIX_LENGTH:])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
            log.warning("telemetry dropped", reason=str(exc), size_bytes=len(frame))
            return
        take(request, len(frame))

    def _pass_on_settings(self) -> None:
        settings, exporter = self._settings, self._exporter
        self._logs.apply(settings, exporter.add_logs if exporter and settings.logs.otlp else None)
        self._spans.apply(
            settings, self._sampler, exporter.add_spans if exporter and settings.traces.otlp else None
        )
        self._metrics.apply(settings, exporter.add_metrics if exporter and settings.metrics.otlp else None)
        observers = self._engine.observers
        if self._recorder is not None:
            observers.remove(self._recorder)
        self._recorder = None
        if settings.traces.is_on:
            self._recorder = SpanRecorder(settings, self._spans, self._engine.new_id, self._now_ns)
            observers.append(self._recorder)

    def _read_metric(self, name: str) -> float | None:
        own = self._statistics.numbers()
        return own[name] if name in own else self._metrics.latest(name)

    async def _sampling_rules(self, _: Call) -> msgspec.Raw:
        sampling = self._settings.sampling
        return payload.encode(
            {
                "traces": {
                    "default_ratio": sampling.default,
                    "rules": sampling.rules,
                    "parent_based": sampling.parent_based,
                },
                "logs": {"sampling_ratio": self._settings.logs_sampling_ratio},
                "timestamp": self._now_ns() // _MILLISECOND_NS,
            }
        )

    async def _check_health(self, _: Call) -> msgspec.Raw:
        settings = self._settings
        traces = settings.traces
        otel = {
            "enabled": True,
            "service_name": settings.service_name,
            "exporter": f"Some({_exporter_name(traces)})",
        }
        components = {
            "otel": otel if traces.is_on else None,
            "metrics": {"stored_metrics": len(self._metrics)} if settings.metrics.is_on else None,
            "logs": {"stored_logs": len(self._logs)} if settings.logs.is_on else None,
            "spans": {"stored_spans": len(self._spans)} if traces.memory else None,
        }
        return payload.encode(
            {
                "status": "healthy",
                "version": settings.version,
                "timestamp": self._now_ns() // _MILLISECOND_NS,
                "components": {
                    name: {"status": "healthy" if details else "disabled", "details": details}
                    for name, details in components.items()
                },
            }
        )


def _collector_of(settings: ObservabilitySettings) -> tuple[str, int, int] | None:
    """Return what an exporter is made from; `None` when nothing is exported."""
    if not any(each.otlp for each in (settings.traces, settings.logs, settings.metrics)):
        return None
    return settings.endpoint, settings.logs_batch_size, settings.logs_flush_interval_ms


def _new_exporter(settings: ObservabilitySettings) -> OtlpExporter | None:
    return OtlpExporter(settings, httpx.AsyncClient()) if _collector_of(settings) else None


def _exporter_name(destination: Destination) -> str:
    if destination.memory and destination.otlp:
        return "Both"
    return "Memory" if destination.memory else "Otlp"
