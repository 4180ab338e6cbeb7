"""`engine::metrics::list` and `engine::rollups::list` (spec 05 §6.5)."""

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from bridge.builtins.observability import Destination, ObservabilitySettings
from bridge.engine.calls import Call
from bridge.engine.functions import Function
from bridge.engine.workers import Worker
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from tests.unit.builtins.observability.harness import MS_NS, T0_MS, Harness, attributes

SETTINGS = ObservabilitySettings(version="1.2.3", print_logs=False)
MINUTE_MS = 60_000
T0_NS = T0_MS * MS_NS


def point(value: float, at_ms: int = T0_MS) -> dict[str, Any]:
    kind = {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    return {**kind, "timeUnixNano": str(at_ms * MS_NS), "attributes": attributes({"shop": "a"})}


def gauge(name: str, *points: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "description": "d", "unit": "u", "gauge": {"dataPoints": list(points)}}


def histogram(
    name: str, at_ms: int = T0_MS, *, counts: tuple[int, ...] = (1, 2), least: float = 0.5
) -> dict[str, Any]:
    return {
        "name": name,
        "histogram": {
            "dataPoints": [
                {
                    "count": str(sum(counts)),
                    "sum": 4.5,
                    "bucketCounts": [str(each) for each in counts],
                    "explicitBounds": [1.0],
                    "min": least,
                    "max": 2.0,
                    "timeUnixNano": str(at_ms * MS_NS),
                }
            ],
            "aggregationTemporality": 2,
        },
    }


async def test_a_call_that_is_counted_does_not_keep_its_payload(harness: Harness) -> None:
    ended: list[object] = []
    worker = Worker("w", lambda _: None, lambda: None, "t", 0)
    harness.engine.functions.offer(Function("f", "default", worker))
    tracemalloc.start()
    try:
        harness.engine.start(Call("f", payload.encode("x" * 1_000_000)), ended.append)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert ended == []
    assert kept < 100_000


async def test_the_engines_own_metrics_have_their_shape(harness: Harness) -> None:
    harness.offer("f", lambda _: harness.pass_ms(40))
    await harness.call("f", {})
    await harness.engine.invoke(Call("nobody", payload.encode({})))
    listed = await harness.call("engine::metrics::list", {})

    assert listed == {
        "engine_metrics": {
            "invocations": {"total": 2, "success": 1, "error": 1, "deferred": 0, "by_function": {"f": 1}},
            "workers": {"spawns": 0, "deaths": 0, "active": 0},
            "performance": {
                "avg_duration_ms": pytest.approx(20, abs=1e-3),
                "p50_duration_ms": pytest.approx(40, abs=1e-3),
                "p95_duration_ms": pytest.approx(40, abs=1e-3),
                "p99_duration_ms": pytest.approx(40, abs=1e-3),
                "min_duration_ms": 0,
                "max_duration_ms": pytest.approx(40, abs=1e-3),
            },
        },
        "sdk_metrics": [],
        "timestamp": T0_MS + 40,
    }


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (gauge("m", point(1)), "gauge"),
        ({"name": "m", "sum": {"dataPoints": [point(1)], "isMonotonic": True}}, "counter"),
        ({"name": "m", "sum": {"dataPoints": [point(1)]}}, "updowncounter"),
        (histogram("m"), "histogram"),
    ],
)
async def test_every_kind_of_metric_is_told_by_its_name(harness: Harness, metric: Any, kind: str) -> None:
    harness.send_metrics(metric)
    (listed,) = (await harness.call("engine::metrics::list", {}))["sdk_metrics"]

    assert listed["metric_type"] == kind


async def test_a_number_and_a_histogram_have_exactly_the_documented_shapes(harness: Harness) -> None:
    harness.send_metrics(gauge("cpu", point(7), point(0.5, T0_MS + 1)), histogram("took"))
    numbers, distribution = (await harness.call("engine::metrics::list", {}))["sdk_metrics"]

    assert numbers == {
        "name": "cpu",
        "description": "d",
        "unit": "u",
        "metric_type": "gauge",
        "data_points": [
            {"value": 7.0, "attributes": {"shop": "a"}, "timestamp_unix_nano": T0_NS},
            {"value": 0.5, "attributes": {"shop": "a"}, "timestamp_unix_nano": T0_NS + MS_NS},
        ],
        "service_name": "billing",
        "timestamp_unix_nano": T0_NS + MS_NS,
        "instrumentation_scope_name": "sdk",
        "instrumentation_scope_version": "9",
    }
    assert distribution["data_points"] == [
        {
            "count": 3,
            "sum": 4.5,
            "bucket_counts": [1, 2],
            "explicit_bounds": [1.0],
            "min": 0.5,
            "max": 2.0,
            "attributes": {},
            "timestamp_unix_nano": T0_NS,
        }
    ]


async def test_metrics_are_filtered_by_name_and_by_a_whole_window(harness: Harness) -> None:
    harness.send_metrics(gauge("cpu", point(1)), gauge("rss", point(1, T0_MS + 5)))

    async def names(**query: Any) -> list[str]:
        return [each["name"] for each in (await harness.call("engine::metrics::list", query))["sdk_metrics"]]

    assert await names(metric_name="rss") == ["rss"]
    assert await names(start_time=T0_MS + 1, end_time=T0_MS + 9) == ["rss"]
    assert await names(start_time=T0_MS + 1) == ["cpu", "rss"]


async def test_metrics_are_added_up_by_interval_if_asked(harness: Harness) -> None:
    harness.send_metrics(gauge("cpu", point(1), point(3, T0_MS + 1000), point(10, T0_MS + 10_000)))
    query = {"aggregate_interval": 10, "metric_name": "cpu"}
    listed = await harness.call("engine::metrics::list", query)

    assert [(each["count"], each["sum"], each["avg"]) for each in listed["aggregated_metrics"]] == [
        (2, 4.0, 2.0),
        (1, 10.0, 10.0),
    ]
    assert listed["query"] == {"start_time": None, "end_time": None, **query}


@pytest.mark.parametrize("function", ["metrics", "rollups"])
async def test_times_out_of_range_are_refused(harness: Harness, function: str) -> None:
    with pytest.raises(FunctionFailedError) as failed:
        await harness.call(f"engine::{function}::list", {"start_time": 2**62, "end_time": 2**62})
    assert failed.value.failure_code == "time_value_overflow"


async def test_metrics_switched_off_leave_those_of_the_engine() -> None:
    harness = Harness(replace(SETTINGS, metrics=Destination()))
    harness.send_metrics(gauge("cpu", point(1)))
    listed = await harness.call("engine::metrics::list", {})

    assert (listed["sdk_metrics"], "engine_metrics" in listed) == ([], True)
    await harness.aclose()


async def test_metrics_are_bounded_by_count() -> None:
    harness = Harness(replace(SETTINGS, max_metrics=2))
    harness.send_metrics(*[gauge(str(each), point(each)) for each in range(3)])

    assert [each["name"] for each in (await harness.call("engine::metrics::list", {}))["sdk_metrics"]] == [
        "1",
        "2",
    ]
    await harness.aclose()


async def rollups(harness: Harness, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = await harness.call("engine::rollups::list", query)
    return found


async def test_rollups_sum_up_a_minute(harness: Harness) -> None:
    begin_ms = T0_MS - T0_MS % MINUTE_MS
    harness.send_metrics(gauge("cpu", point(1, T0_MS), point(4, T0_MS + 1)))
    listed = await rollups(harness)

    assert listed == {
        "rollups": [
            {
                "name": "cpu",
                "bucket_start_ns": begin_ms * MS_NS,
                "bucket_end_ns": (begin_ms + MINUTE_MS) * MS_NS,
                "count": 2,
                "sum": 5.0,
                "min": 1.0,
                "max": 4.0,
                "avg": 2.5,
            }
        ],
        "histogram_rollups": [],
        "level": 0,
        "query": dict.fromkeys(("start_time", "end_time", "level", "metric_name")),
        "timestamp": T0_MS,
    }


async def test_rollups_add_up_histograms_with_the_same_buckets(harness: Harness) -> None:
    harness.send_metrics(histogram("took"), histogram("took", least=0.1))
    (added,) = (await rollups(harness))["histogram_rollups"]

    assert (added["total_count"], added["total_sum"], added["bucket_counts"]) == (6, 9.0, [2, 4])
    assert (added["min"], added["max"], added["explicit_bounds"]) == (0.1, 2.0, [1.0])

    harness.send_metrics(histogram("took", counts=(1, 1, 1)))
    (replaced,) = (await rollups(harness))["histogram_rollups"]
    assert (replaced["total_count"], replaced["bucket_counts"]) == (3, [1, 1, 1])


@pytest.mark.parametrize(("level", "kept_ms"), [(0, 3_600_000), (1, 6 * 3_600_000), (2, 7 * 24 * 3_600_000)])
async def test_every_level_is_kept_for_its_time(harness: Harness, level: int, kept_ms: int) -> None:
    harness.send_metrics(gauge("cpu", point(1)))
    harness.pass_ms(kept_ms - MINUTE_MS * 60)
    assert len((await rollups(harness, level=level, start_time=T0_MS))["rollups"]) == 1

    harness.pass_ms(MINUTE_MS * 61)
    assert (await rollups(harness, level=level, start_time=T0_MS))["rollups"] == []


async def test_rollups_are_those_of_the_last_hour_unless_a_window_is_given(harness: Harness) -> None:
    harness.send_metrics(gauge("cpu", point(1)), gauge("rss", point(1)))
    harness.pass_ms(2 * 3_600_000)

    assert (await rollups(harness, level=1))["rollups"] == []
    found = await rollups(harness, level=1, start_time=T0_MS, end_time=T0_MS, metric_name="rss")
    assert [each["name"] for each in found["rollups"]] == ["rss"]


async def test_there_are_three_levels(harness: Harness) -> None:
    with pytest.raises(FunctionFailedError, match="level"):
        await rollups(harness, level=3)


async def test_a_report_from_another_time_is_not_summed_up(harness: Harness) -> None:
    harness.send_metrics(gauge("cpu", point(1, 1), point(1, T0_MS * 2)))

    assert (await rollups(harness, level=2, start_time=0, end_time=T0_MS * 3))["rollups"] == []
