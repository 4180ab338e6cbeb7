"""What SDKs report of their processes is found at the worker it is about (spec 05 §2.1)."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.builtins.observability import Destination
from bridge.engine.workers import Worker, WorkerInfo, WorkerMetrics
from tests.unit.builtins.observability.harness import MS_NS, T0_MS, Harness, attributes
from tests.unit.builtins.observability.test_metrics import SETTINGS, gauge


def worker_in(harness: Harness, worker_id: str) -> Worker:
    worker = Worker(
        id=worker_id,
        send=lambda _: None,
        abort=lambda: None,
        reattach_token="t",
        connected_at_ms=0,
        info=WorkerInfo(runtime="node"),
    )
    harness.engine.connect(worker)
    return worker


def reading(name: str, value: Any, worker_id: Any, at_ms: int = T0_MS) -> dict[str, Any]:
    kind = {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    about = attributes({"worker.id": worker_id, "worker.name": "billing"})
    return gauge(name, {**kind, "timeUnixNano": str(at_ms * MS_NS), "attributes": about})


def test_a_report_is_noted_at_the_worker_it_is_about(harness: Harness) -> None:
    worker, other = worker_in(harness, "w"), worker_in(harness, "o")
    harness.send_metrics(
        reading("iii.worker.memory.rss", 81_920, "w"),
        reading("iii.worker.memory.heap_used", 40_000.0, "w"),
        reading("iii.worker.cpu.percent", 12.5, "w"),
        reading("iii.worker.event_loop.lag_ms", 0.25, "w"),
        reading("iii.worker.uptime_seconds", 61, "w", T0_MS + 1),
        reading("shop.orders", 3, "w"),
        reading("iii.worker.memory.rss", 1, "gone"),
    )

    assert worker.latest_metrics == WorkerMetrics(
        T0_MS + 1,
        "node",
        memory_rss=81_920,
        memory_heap_used=40_000,
        cpu_percent=12.5,
        event_loop_lag_ms=0.25,
        uptime_seconds=61,
    )
    assert other.latest_metrics is None


def test_a_newer_report_replaces_the_one_before(harness: Harness) -> None:
    worker = worker_in(harness, "w")
    for rss in (1, 2):
        harness.send_metrics(reading("iii.worker.memory.rss", rss, "w", T0_MS + rss))

    assert worker.latest_metrics == WorkerMetrics(T0_MS + 2, "node", memory_rss=2)


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_reading_that_is_no_number_is_left_out(harness: Harness, value: str) -> None:
    worker = worker_in(harness, "w")
    harness.send_metrics(
        reading("iii.worker.memory.rss", value, "w"),
        reading("iii.worker.cpu.percent", 1.0, "w"),
        reading("iii.worker.cpu.percent", 2.0, 7),
    )

    assert worker.latest_metrics == WorkerMetrics(T0_MS, "node", cpu_percent=1.0)


def test_without_metrics_in_memory_nothing_is_noted() -> None:
    harness = Harness(replace(SETTINGS, metrics=Destination()))
    worker = worker_in(harness, "w")
    harness.send_metrics(reading("iii.worker.memory.rss", 1, "w"))

    assert worker.latest_metrics is None
