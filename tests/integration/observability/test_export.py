"""Telemetry on its way to a collector, on a real socket."""

from dataclasses import replace
from typing import Any

import pytest
import structlog

from bridge.builtins.observability import Destination, ObservabilitySettings
from bridge.errors import FunctionFailedError
from tests.integration.observability.collector import Collector
from tests.support.waiting import eventually
from tests.unit.builtins.observability.harness import Harness, span

SETTINGS = ObservabilitySettings(version="1.2.3", print_logs=False, logs_batch_size=1)
OTLP = Destination(otlp=True)


def harness_for(collector: Collector, **settings: Any) -> Harness:
    return Harness(replace(SETTINGS, endpoint=collector.url, **settings))


async def test_everything_arrives_where_collectors_take_it(collector: Collector) -> None:
    harness = harness_for(collector, traces=OTLP, logs=OTLP, metrics=OTLP)
    harness.send_spans(span("s1", order=7))
    await harness.call("engine::log::warn", {"message": "slow", "service_name": "billing"})
    harness.send_metrics({"name": "cpu", "gauge": {"dataPoints": [{"asDouble": 0.5}]}})
    await harness.observability.close()

    assert sorted(path for path, _ in collector.received) == ["/v1/logs", "/v1/metrics", "/v1/traces"]
    bodies = dict(collector.received)
    (spans,) = bodies["/v1/traces"]["resourceSpans"]
    assert spans["scopeSpans"][0]["spans"][0]["attributes"] == [{"key": "order", "value": {"intValue": 7}}]
    (logs,) = bodies["/v1/logs"]["resourceLogs"]
    assert logs["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "billing"}}]
    assert logs["scopeLogs"][0]["logRecords"][0]["severityText"] == "WARN"
    metrics, _own = bodies["/v1/metrics"]["resourceMetrics"]
    assert metrics["scopeMetrics"][0]["metrics"][0]["name"] == "cpu"


async def test_spans_of_the_bridge_itself_leave_as_well(collector: Collector) -> None:
    harness = harness_for(collector, traces=OTLP)
    harness.offer("shop::order", lambda _: None)
    await harness.call("shop::order", {})
    await harness.observability.close()

    assert collector.names() == ["call shop::order"]
    (_, body) = collector.received[0]
    (sender,) = body["resourceSpans"]
    assert {"key": "service.name", "value": {"stringValue": "iii"}} in sender["resource"]["attributes"]
    (sent,) = sender["scopeSpans"][0]["spans"]
    assert (sent["status"], sent["kind"]) == ({"code": 1}, 1)


async def test_what_the_bridge_itself_counts_leaves_under_iiis_names(collector: Collector) -> None:
    harness = harness_for(collector, metrics=OTLP, service_name="shop")
    harness.offer("shop::order", lambda _: None)
    await harness.call("shop::order", {})
    with pytest.raises(FunctionFailedError):
        await harness.call("nobody::there", {})
    await harness.observability.close()

    ((_, body),) = collector.received
    (sender,) = body["resourceMetrics"]
    assert {"key": "service.name", "value": {"stringValue": "shop"}} in sender["resource"]["attributes"]
    found = {each["name"]: each for each in sender["scopeMetrics"][0]["metrics"]}
    counts = {
        name: metric["sum"]["dataPoints"][0]["asInt"] for name, metric in found.items() if "sum" in metric
    }
    assert counts == {
        "iii.invocations.total": 2,
        "iii.invocation.errors.total": 1,
        "iii.workers.spawns.total": 0,
        "iii.workers.deaths.total": 0,
    }
    assert all(found[name]["sum"]["isMonotonic"] for name in counts)
    assert found["iii.workers.active"]["gauge"]["dataPoints"][0]["asInt"] == 0
    (durations,) = found["iii.invocation.duration"]["histogram"]["dataPoints"]
    assert (durations["count"], durations["bucketCounts"][0]) == (2, 2)
    assert len(durations["bucketCounts"]) == len(durations["explicitBounds"]) + 1


async def test_a_collector_gets_the_headers_it_demands(collector: Collector) -> None:
    harness = harness_for(collector, traces=OTLP, endpoint_headers=(("x-api-key", "s3cret"),))
    harness.send_spans(span("s1"))
    await harness.observability.close()

    (head,) = collector.heads
    assert "x-api-key: s3cret\r\n" in head


async def test_the_bridge_reports_without_being_asked(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.builtins.observability.worker._REPORT_INTERVAL_S", 0.01)
    monkeypatch.setattr("bridge.builtins.observability.export._SPANS_AT_ONCE", 1)
    harness = harness_for(collector, metrics=OTLP)
    await harness.observability.start()

    assert (await eventually(lambda: collector.received))[0][0] == "/v1/metrics"
    await harness.aclose()
    await harness.observability.close()


async def test_a_full_batch_is_sent_without_waiting(collector: Collector) -> None:
    harness = harness_for(collector, logs=Destination(memory=True, otlp=True))
    await harness.observability.start()
    await harness.call("engine::log::info", {"message": "x"})

    assert await eventually(lambda: [path for path, _ in collector.received]) == ["/v1/logs"]
    assert (await harness.call("engine::logs::list", {}))["total"] == 1
    await harness.aclose()
    await harness.observability.close()


@pytest.mark.parametrize(("status", "arrives"), [(503, ["work"]), (429, ["work"]), (400, [])])
async def test_what_a_collector_refuses_for_now_is_sent_again(
    collector: Collector, status: int, arrives: list[str]
) -> None:
    harness = harness_for(collector, traces=OTLP)
    harness.send_spans(span("s1"))
    exporter = harness.observability._exporter
    assert exporter is not None
    collector.status = status
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            await exporter._send(exporter._spans)
    collector.status = 200
    await harness.observability.close()

    assert collector.names() == arrives
    assert [line["event"] for line in lines] == ["collector takes no telemetry"]


async def test_a_collector_that_is_away_does_not_make_the_bridge_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridge.builtins.observability.export._MOST_WAITING", 2)
    harness = Harness(replace(SETTINGS, endpoint="http://127.0.0.1:1", traces=OTLP))
    exporter = harness.observability._exporter
    assert exporter is not None
    for each in range(5):
        harness.send_spans(span(f"s{each}"))
        await exporter._send(exporter._spans)

    assert (exporter._spans.count, exporter._spans.dropped) == (2, 3)
    await harness.observability.close()


async def test_only_sampled_spans_leave(collector: Collector) -> None:
    harness = harness_for(collector, traces=OTLP, sampling=replace(SETTINGS.sampling, default=0.0))
    harness.send_spans(span("s1"))
    await harness.observability.close()

    assert collector.received == []


async def test_the_collector_may_change_while_the_bridge_runs(collector: Collector) -> None:
    """What waits still goes to the old one; what comes goes to the new one."""
    off = ObservabilitySettings(version="1.2.3", print_logs=False)
    harness = Harness(off)
    harness.send_spans(span("before"))
    first = replace(SETTINGS, endpoint=collector.url, traces=OTLP)
    await harness.observability.apply(first)
    harness.send_spans(span("waiting"))
    await harness.observability.apply(replace(first, endpoint="http://127.0.0.1:9"))
    assert collector.names() == ["work"]
    await harness.observability.apply(first)
    harness.send_spans(span("after"))
    await harness.observability.apply(off)
    harness.send_spans(span("kept"))
    assert collector.names() == ["work", "work"]
    assert [each["span_id"] for each in (await harness.call("engine::traces::list", {}))["spans"]] == [
        "before",
        "kept",
    ]
    await harness.aclose()
    await harness.observability.close()
