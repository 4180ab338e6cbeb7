"""What the observability worker is told (spec 05 §6.6)."""

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "AlertAction",
    "AlertRule",
    "Destination",
    "ObservabilitySettings",
    "SamplingRule",
    "SamplingSettings",
]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one kind of telemetry goes; nowhere when it is switched off."""

    memory: bool = False
    otlp: bool = False

    @property
    def is_on(self) -> bool:
        """Whether it goes anywhere."""
        return self.memory or self.otlp


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """The share kept of the spans of one operation, of one service, or of both."""

    operation: str | None
    service: str | None
    rate: float


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Which traces are kept.

    Attributes:
        default: The share kept where no rule matches.
        parent_based: Whether what was decided for the first span of a trace holds for the others.
        traces_per_s: The most traces kept; `None` is unlimited.
    """

    default: float = 1.0
    rules: tuple[SamplingRule, ...] = ()
    parent_based: bool = True
    traces_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class AlertAction:
    """What happens when an alert fires.

    Attributes:
        target: The URL of a webhook, or the id of a function.
    """

    kind: Literal["log", "webhook", "function"]
    target: str = ""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A metric that is watched."""

    name: str
    metric: str
    threshold: float
    operator: str
    action: AlertAction


@dataclass(frozen=True, slots=True)
class ObservabilitySettings:
    """Settings of the worker `iii-observability`.

    Attributes:
        version: The version of the bridge.
        service_name: What the bridge calls itself in its own telemetry.
        deployment_environment: Where it runs, such as `production`.
        endpoint: Where OTLP goes.
        endpoint_headers: What a collector demands beside the usual headers, such as a key.
        print_logs: Whether logs also become lines of the bridge's own log.
        print_log_data: Whether these lines have the data of the logs, which may be anybody's.
    """

    version: str
    service_name: str = "iii"
    service_version: str | None = None
    service_namespace: str | None = None
    deployment_environment: str | None = None
    traces: Destination = Destination(memory=True)
    logs: Destination = Destination(memory=True)
    metrics: Destination = Destination(memory=True)
    endpoint: str = "http://localhost:4318"
    endpoint_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    sampling: SamplingSettings = SamplingSettings()
    max_spans: int = 10_000
    max_metrics: int = 10_000
    metrics_retention_s: int = 3600
    max_logs: int = 1000
    logs_retention_s: int = 3600
    logs_sampling_ratio: float = 1.0
    logs_batch_size: int = 100
    logs_flush_interval_ms: int = 5000
    print_logs: bool = True
    print_log_data: bool = False
    alerts: tuple[AlertRule, ...] = ()
