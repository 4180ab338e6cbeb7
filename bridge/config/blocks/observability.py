"""`iii-observability` (spec 05 §6.6)."""

from collections.abc import Container, Iterator
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from bridge.config.block import Block, EveryKeyBut, FunctionId, Name, Unsigned64

__all__ = ["AlertRule", "ObservabilityBlock", "Sampling", "TraceStorage"]

_LEVELS = ("trace", "debug", "info", "warn", "error")
_GRPC_PORT = 4317
_WITHOUT_EFFECT = {
    "trace_storage": "traces are kept in memory only",
    "live_spans": "spans are shown once they have ended",
    "collapse_spans": "every span is shown",
    "format": "use --log-format",
}

Exporter = Literal["memory", "otlp", "both"]
Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


class SamplingRule(Block):
    """The share kept of the spans of one operation or service."""

    operation: Name | None = None
    service: Name | None = None
    rate: Ratio


class SamplingRateLimit(Block):
    """The most traces kept per second."""

    max_traces_per_second: Annotated[float, Field(gt=0, le=1_000_000)]


class Sampling(Block):
    """Which traces are kept."""

    default: Ratio = 1.0
    rules: Annotated[tuple[SamplingRule, ...], Field(strict=False)] = ()
    parent_based: bool = True
    rate_limit: SamplingRateLimit | None = None


class TraceStorage(Block):
    """iii's archive of traces on disk; accepted and without effect."""

    enabled: bool | None = None
    directory: Name | None = None
    max_disk_bytes: Unsigned64 | None = None
    retention_seconds: Unsigned64 | None = None
    memory_max_bytes: Unsigned64 | None = None
    memory_low_watermark_ratio: Ratio | None = None
    pending_max_age_seconds: Unsigned64 | None = None


class LogAction(Block):
    """Write a line to the log."""

    type: Literal["log"]


class WebhookAction(Block):
    """Send the alert to a URL."""

    type: Literal["webhook"]
    url: Annotated[str, Field(pattern=r"^https?://", description="an http or https URL")]


class FunctionAction(Block):
    """Call a function with the alert."""

    type: Literal["function"]
    path: FunctionId


class AlertRule(Block):
    """A metric that is watched."""

    # The optional keys of a rule differ between iii versions and none of them changes when it fires.
    model_config = ConfigDict(extra="ignore")

    name: Name
    metric: Name
    threshold: float
    operator: Literal[
        ">",
        ">=",
        "<",
        "<=",
        "==",
        "!=",
        "greaterthan",
        "greaterthanorequal",
        "lessthan",
        "lessthanorequal",
        "equal",
        "notequal",
    ]
    action: Annotated[LogAction | WebhookAction | FunctionAction, Field(discriminator="type")]


class CollapseSpans(Block):
    """Spans shown as one."""

    name: Name
    service: Name | None = None


class ObservabilityBlock(Block):
    """Logs, traces and metrics; `None` means the key is absent and the environment or iii's rule decides."""

    live: ClassVar[Container[str]] = EveryKeyBut()

    enabled: bool | None = None
    service_name: Name = "iii"
    service_version: Name | None = None
    service_namespace: Name | None = None
    exporter: Exporter | None = None
    endpoint: Annotated[str, Field(pattern=r"^https?://", description="an http or https URL")] = (
        "http://localhost:4318"
    )
    sampling_ratio: Ratio | None = None
    sampling: Sampling | None = None
    memory_max_spans: Count | None = None
    trace_storage: TraceStorage | None = None
    live_spans: bool | None = None
    metrics_enabled: bool | None = None
    metrics_exporter: Literal["memory", "otlp"] | None = None
    metrics_retention_seconds: Seconds = 3600
    metrics_max_count: Count = 10_000
    logs_enabled: bool | None = None
    logs_exporter: Exporter | None = None
    logs_max_count: Count = 1000
    logs_retention_seconds: Seconds = 3600
    logs_batch_size: Count = 100
    logs_flush_interval_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 5000
    logs_sampling_ratio: Ratio = 1.0
    logs_console_output: bool = True
    logs_console_data: bool = False
    alerts: Annotated[tuple[AlertRule, ...], Field(strict=False)] = ()
    level: Name = "info"
    format: Literal["default", "json"] = "default"
    collapse_spans: Annotated[tuple[CollapseSpans, ...], Field(strict=False)] = ()

    def notices(self) -> Iterator[str]:
        """Tell which keys have no effect, and where OTLP may not arrive."""
        for key, remark in _WITHOUT_EFFECT.items():
            if key in self.model_fields_set:
                yield f"iii-observability: `{key}` has no effect, {remark}"
        if self.level.lower() not in _LEVELS:
            yield f"iii-observability: `level: {self.level}` has no effect; choose {', '.join(_LEVELS)}"
        if urlsplit(self.endpoint).port == _GRPC_PORT:
            yield (
                f"iii-observability: `endpoint` {self.endpoint} has the port of OTLP over gRPC; telemetry is "
                "sent over HTTP, which collectors take on 4318"
            )

    @classmethod
    def in_memory(cls) -> "ObservabilityBlock":
        """Give what iii runs with when the file does not list the block: everything on, kept in memory."""
        return cls(
            enabled=True,
            exporter="memory",
            metrics_enabled=True,
            metrics_exporter="memory",
            logs_enabled=True,
            logs_exporter="memory",
        )
