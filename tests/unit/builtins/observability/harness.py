"""Observability without sockets: a hand-moved clock, frames as SDKs send them, webhooks that are recorded."""

import json
from typing import Any

import msgspec

from bridge.builtins.observability import Observability, ObservabilitySettings
from bridge.errors import FunctionFailedError
from tests.unit.builtins.state.engine_harness import EngineHarness

T0_MS = 1_780_000_000_000
MS_NS = 1_000_000
TRACE = "a" * 32


class Harness(EngineHarness):
    def __init__(self, settings: ObservabilitySettings | None = None) -> None:
        super().__init__()
        self.now_ns = T0_MS * MS_NS
        self.posted: list[tuple[str, Any]] = []
        self.refused_posts = 0
        self.observability = Observability(
            self.engine,
            settings or ObservabilitySettings(version="1.2.3", print_logs=False),
            post=self._post,
            clock_s=lambda: self.now_ns / 1e9,
            now_ns=lambda: self.now_ns,
        )
        self.observability.register(self.engine)

    def pass_ms(self, duration_ms: float) -> None:
        self.now_ns += int(duration_ms * MS_NS)

    def send(self, prefix: str, body: Any) -> None:
        """Send a telemetry frame."""
        self.observability.take_frame(prefix.encode() + json.dumps(body).encode())

    def send_spans(self, *spans: dict[str, Any], service: str = "billing") -> None:
        scope = {"scope": {"name": "sdk", "version": "9"}, "spans": list(spans)}
        self.send("OTLP", {"resourceSpans": [{"resource": resource(service), "scopeSpans": [scope]}]})

    def send_logs(self, *records: dict[str, Any], service: str = "billing") -> None:
        scope = {"scope": {"name": "sdk", "version": "9"}, "logRecords": list(records)}
        self.send("LOGS", {"resourceLogs": [{"resource": resource(service), "scopeLogs": [scope]}]})

    def send_metrics(self, *metrics: dict[str, Any], service: str = "billing") -> None:
        scope = {"scope": {"name": "sdk", "version": "9"}, "metrics": list(metrics)}
        self.send("MTRC", {"resourceMetrics": [{"resource": resource(service), "scopeMetrics": [scope]}]})

    async def _post(self, url: str, body: msgspec.Raw) -> None:
        if self.refused_posts:
            self.refused_posts -= 1
            raise FunctionFailedError("http_request_failed", "no")
        self.posted.append((url, json.loads(bytes(body))))


def resource(service: str) -> dict[str, Any]:
    return {"attributes": attributes({"service.name": service})}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in values.items()]


def span(
    span_id: str,
    name: str = "work",
    *,
    trace_id: str = TRACE,
    parent: str | None = None,
    start_ms: int = T0_MS,
    duration_ms: int = 10,
    status: int = 1,
    **about: Any,
) -> dict[str, Any]:
    return {
        "traceId": trace_id,
        "spanId": span_id,
        "name": name,
        **({"parentSpanId": parent} if parent else {}),
        "startTimeUnixNano": str(start_ms * MS_NS),
        "endTimeUnixNano": str((start_ms + duration_ms) * MS_NS),
        "attributes": attributes(about),
        "status": {"code": status},
    }
