"""How the block and the environment become settings, and what is said of keys without effect (spec 05)."""

from typing import Any

import pytest

from bridge.builtins.observability import Destination, ObservabilitySettings
from bridge.config import ObservabilityBlock
from bridge.errors import ConfigError
from bridge.telemetry_settings import observability_settings

MEMORY, OTLP, BOTH = Destination(memory=True), Destination(otlp=True), Destination(memory=True, otlp=True)


def settings(block: dict[str, Any], **environ: str) -> ObservabilitySettings:
    return observability_settings(ObservabilityBlock(**block), environ, "1.2.3")


def test_a_file_without_the_block_keeps_everything_in_memory() -> None:
    found = observability_settings(ObservabilityBlock.in_memory(), {}, "1.2.3")

    assert (found.traces, found.logs, found.metrics) == (MEMORY, MEMORY, MEMORY)


def test_an_empty_block_switches_traces_off() -> None:
    found = settings({})

    assert (found.traces, found.logs, found.metrics) == (Destination(), MEMORY, MEMORY)


@pytest.mark.parametrize(
    ("block", "traces"),
    [
        ({"enabled": True}, OTLP),
        ({"enabled": True, "exporter": "memory"}, MEMORY),
        ({"enabled": True, "exporter": "both"}, BOTH),
        ({"exporter": "memory"}, Destination()),
    ],
)
def test_traces_go_where_the_block_says(block: dict[str, Any], traces: Destination) -> None:
    assert settings(block).traces == traces


def test_the_environment_says_what_the_block_does_not() -> None:
    found = settings(
        {"service_name": "from file"},
        OTEL_ENABLED="true",
        OTEL_EXPORTER_TYPE="both",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318",
        OTEL_SERVICE_NAME="from environment",
        OTEL_TRACES_SAMPLER_ARG="0.25",
        OTEL_MEMORY_MAX_SPANS="7",
        OTEL_LOGS_ENABLED="false",
        SERVICE_VERSION="",
        DEPLOYMENT_ENVIRONMENT="production",
        OTEL_EXPORTER_OTLP_HEADERS="X-Api-Key=s3cret%20one, tenant=shop",
    )

    assert (found.traces, found.logs) == (BOTH, Destination())
    assert (found.endpoint, found.service_name) == ("http://collector:4318", "from file")
    assert found.deployment_environment == "production"
    assert found.endpoint_headers == (("x-api-key", "s3cret one"), ("tenant", "shop"))
    assert "s3cret" not in repr(found)
    assert (found.sampling.default, found.max_spans, found.service_version) == (0.25, 7, None)


@pytest.mark.parametrize(
    "text", ["s3cret", "=s3cret", "a b=s3cret", "a=1,s3cret", "a=s3cret%0d%0ab: 1", "a=s3cret%C3%A9"]
)
def test_headers_of_another_form_are_an_error_that_does_not_show_them(text: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_HEADERS") as caught:
        settings({}, OTEL_EXPORTER_OTLP_HEADERS=text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("OTEL_TRACES_SAMPLER_ARG", "2", "sampling_ratio"),
        ("OTEL_ENABLED", "perhaps", "enabled"),
        ("OTEL_EXPORTER_TYPE", "jaeger", "exporter"),
    ],
)
def test_a_variable_its_key_cannot_have_is_an_error_that_names_both(
    variable: str, value: str, key: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{variable}={value}: .*iii-observability\.{key}"):
        settings({}, **{variable: value})


def test_sampling_beats_the_sampling_ratio() -> None:
    sampling = {
        "default": 0.5,
        "rules": [{"operation": "pay", "rate": 1}],
        "rate_limit": {"max_traces_per_second": 9},
    }
    found = settings({"sampling_ratio": 0.1, "sampling": sampling}).sampling

    assert (found.default, found.traces_per_s, found.rules[0].operation) == (0.5, 9, "pay")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"type": "log"}, ("log", "")),
        ({"type": "webhook", "url": "https://x"}, ("webhook", "https://x")),
        ({"type": "function", "path": "ops::page"}, ("function", "ops::page")),
    ],
)
def test_alert_rules_keep_their_action(action: dict[str, str], expected: tuple[str, str]) -> None:
    rule = {"name": "hot", "metric": "cpu", "threshold": 5, "operator": ">", "action": action}
    (found,) = settings({"alerts": [rule]}).alerts

    assert (found.action.kind, found.action.target) == expected


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"live_spans": True}, "live_spans"),
        ({"trace_storage": {"enabled": True}}, "trace_storage"),
        ({"collapse_spans": [{"name": "x"}]}, "collapse_spans"),
        ({"format": "json"}, "--log-format"),
        ({"level": "info,hyper=warn"}, "trace, debug, info, warn, error"),
        ({"endpoint": "http://localhost:4317"}, "4318"),
    ],
)
def test_a_key_that_does_not_do_what_iii_does_is_named_in_a_warning(
    block: dict[str, Any], named: str
) -> None:
    (notice,) = ObservabilityBlock(**block).notices()

    assert named in notice


def test_keys_that_work_need_no_warning() -> None:
    assert not list(ObservabilityBlock(enabled=True, exporter="otlp", level="WARN").notices())
