"""What the observability worker is told: its block, and the environment where the block says nothing."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from bridge.builtins.observability import (
    AlertAction,
    AlertRule,
    Destination,
    ObservabilitySettings,
    SamplingRule,
    SamplingSettings,
)
from bridge.config import ObservabilityBlock
from bridge.config.blocks.observability import AlertRule as AlertRuleBlock
from bridge.config.blocks.observability import FunctionAction, WebhookAction
from bridge.errors import ConfigError

__all__ = ["observability_settings"]

_VARIABLES = {
    "enabled": "OTEL_ENABLED",
    "exporter": "OTEL_EXPORTER_TYPE",
    "endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "service_name": "OTEL_SERVICE_NAME",
    "service_version": "SERVICE_VERSION",
    "service_namespace": "SERVICE_NAMESPACE",
    "sampling_ratio": "OTEL_TRACES_SAMPLER_ARG",
    "memory_max_spans": "OTEL_MEMORY_MAX_SPANS",
    "metrics_enabled": "OTEL_METRICS_ENABLED",
    "metrics_exporter": "OTEL_METRICS_EXPORTER",
    "logs_enabled": "OTEL_LOGS_ENABLED",
    "logs_exporter": "OTEL_LOGS_EXPORTER",
}
_DEFAULT_MAX_SPANS = 10_000
_HEADER_VALUE = re.compile(r"[ -~]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def observability_settings(
    block: ObservabilityBlock, environ: Mapping[str, str], version: str
) -> ObservabilitySettings:
    """Translate `iii-observability`; a key of the file beats its variable (spec 05 §6.6).

    Args:
        block: The block.
        environ: The environment.
        version: The version of the bridge.

    Raises:
        ConfigError: A variable has a value that its key cannot have.
    """
    block = _with_environment(block, environ)
    return ObservabilitySettings(
        version=version,
        service_name=block.service_name,
        service_version=block.service_version,
        service_namespace=block.service_namespace,
        deployment_environment=environ.get("DEPLOYMENT_ENVIRONMENT", "").strip() or None,
        traces=_destination(block.exporter or "otlp", is_on=block.enabled is True),
        logs=_destination(block.logs_exporter or "memory", is_on=block.logs_enabled is not False),
        metrics=_destination(block.metrics_exporter or "memory", is_on=block.metrics_enabled is not False),
        endpoint=block.endpoint,
        endpoint_headers=_headers(environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
        sampling=_sampling(block),
        max_spans=block.memory_max_spans or _DEFAULT_MAX_SPANS,
        max_metrics=block.metrics_max_count,
        metrics_retention_s=block.metrics_retention_seconds,
        max_logs=block.logs_max_count,
        logs_retention_s=block.logs_retention_seconds,
        logs_sampling_ratio=block.logs_sampling_ratio,
        logs_batch_size=block.logs_batch_size,
        logs_flush_interval_ms=block.logs_flush_interval_ms,
        print_logs=block.logs_console_output,
        print_log_data=block.logs_console_data,
        alerts=tuple(_alert(each) for each in block.alerts),
    )


def _with_environment(block: ObservabilityBlock, environ: Mapping[str, str]) -> ObservabilityBlock:
    """Fill in what the file does not say."""
    given: dict[str, object] = {}
    for key, variable in _VARIABLES.items():
        text = environ.get(variable, "").strip()
        if not text or key in block.model_fields_set:
            continue
        field = ObservabilityBlock.model_fields[key]
        try:
            given[key] = TypeAdapter(field.rebuild_annotation()).validate_strings(text)
        except ValidationError as exc:
            raise ConfigError(
                f"{variable}={text}: {exc.errors()[0]['msg']}; correct it, or set iii-observability.{key}"
            ) from exc
    return block.model_copy(update=given)


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    """Read `name=value,name=value` with percent-encoded values, as every OpenTelemetry SDK does.

    Raises:
        ConfigError: It has another form. The text is not shown: it may hold a key.
    """
    pairs = [pair.partition("=")[::2] for pair in text.split(",") if pair.strip()]
    headers = tuple((name.strip().lower(), unquote(value.strip())) for name, value in pairs)
    if not all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) for name, value in headers):
        raise ConfigError("OTEL_EXPORTER_OTLP_HEADERS is not of the form name=value,name=value; correct it")
    return headers


def _destination(exporter: str, *, is_on: bool) -> Destination:
    if not is_on:
        return Destination()
    return Destination(memory=exporter in ("memory", "both"), otlp=exporter in ("otlp", "both"))


def _sampling(block: ObservabilityBlock) -> SamplingSettings:
    sampling = block.sampling
    if sampling is None:
        return SamplingSettings(default=1.0 if block.sampling_ratio is None else block.sampling_ratio)
    return SamplingSettings(
        default=sampling.default,
        rules=tuple(SamplingRule(each.operation, each.service, each.rate) for each in sampling.rules),
        parent_based=sampling.parent_based,
        traces_per_s=sampling.rate_limit.max_traces_per_second if sampling.rate_limit else None,
    )


def _alert(rule: AlertRuleBlock) -> AlertRule:
    match rule.action:
        case WebhookAction(url=url):
            action = AlertAction("webhook", url)
        case FunctionAction(path=function_id):
            action = AlertAction("function", function_id)
        case _:
            action = AlertAction("log")
    return AlertRule(rule.name, rule.metric, rule.threshold, rule.operator, action)
