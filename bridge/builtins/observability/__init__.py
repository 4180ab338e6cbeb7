"""The built-in worker `iii-observability` (spec 05 §6)."""

from bridge.builtins.observability.settings import (
    AlertAction,
    AlertRule,
    Destination,
    ObservabilitySettings,
    SamplingRule,
    SamplingSettings,
)
from bridge.builtins.observability.worker import Observability

__all__ = [
    "AlertAction",
    "AlertRule",
    "Destination",
    "Observability",
    "ObservabilitySettings",
    "SamplingRule",
    "SamplingSettings",
]
