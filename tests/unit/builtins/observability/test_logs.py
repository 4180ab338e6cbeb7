"""`engine::log::*`, `engine::logs::*` and the `log` trigger (spec 05 §6.1 to §6.3)."""

from dataclasses import replace

import pytest
import structlog

from bridge.builtins.observability import Destination, ObservabilitySettings
from bridge.engine.calls import Call, Job
from bridge.engine.workers import Worker
from bridge.errors import FunctionFailedError, TriggerRejectedError
from bridge.protocol import payload
from tests.unit.builtins.observability.harness import MS_NS, T0_MS, TRACE, Harness, attributes

SETTINGS = ObservabilitySettings(version="1.2.3", print_logs=False)
LEVELS = [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17)]


def record(body: str = "hello", number: int = 9, text: str = "INFO", **about: object) -> dict[str, object]:
    return {
        "timeUnixNano": str(T0_MS * MS_NS),
        "severityNumber": number,
        "severityText": text,
        "body": {"stringValue": body},
        **about,
    }


async def test_a_log_has_exactly_the_twelve_keys(harness: Harness) -> None:
    assert (
        await harness.call(
            "engine::log::info", {"message": "paid", "data": {"order": 7}, "service_name": "billing"}
        )
        is None
    )
    listed = await harness.call("engine::logs::list", {})

    assert listed == {
        "logs": [
            {
                "timestamp_unix_nano": T0_MS * MS_NS,
                "observed_timestamp_unix_nano": T0_MS * MS_NS,
                "severity_number": 9,
                "severity_text": "INFO",
                "body": "paid",
                "attributes": {"order": 7},
                "trace_id": None,
                "span_id": None,
                "resource": {"service.name": "iii"},
                "service_name": "billing",
                "instrumentation_scope_name": "iii",
                "instrumentation_scope_version": "1.2.3",
            }
        ],
        "total": 1,
        "query": dict.fromkeys(
            (
                "trace_id",
                "span_id",
                "severity_min",
                "severity_text",
                "start_time",
                "end_time",
                "offset",
                "limit",
            )
        ),
        "timestamp": T0_MS,
    }


@pytest.mark.parametrize(("level", "number"), LEVELS)
async def test_every_level_has_its_number(harness: Harness, level: str, number: int) -> None:
    await harness.call(f"engine::log::{level}", {"message": "x", "data": "dropped"})
    (log,) = (await harness.call("engine::logs::list", {}))["logs"]

    assert (log["severity_number"], log["severity_text"]) == (number, level.upper())
    assert (log["attributes"], log["service_name"]) == ({}, "unknown")


async def test_a_log_needs_a_message(harness: Harness) -> None:
    with pytest.raises(FunctionFailedError, match="message") as failed:
        await harness.call("engine::log::info", {})
    assert failed.value.failure_code == "deserialization_error"


async def test_a_log_of_an_sdk_keeps_what_the_sdk_said(harness: Harness) -> None:
    harness.send_logs(
        record(traceId=TRACE, spanId="b" * 16, attributes=attributes({"order": 7, "ok": True, "took": 0.5}))
    )
    (log,) = (await harness.call("engine::logs::list", {}))["logs"]

    assert log["body"] == "hello"
    assert log["attributes"] == {"order": 7, "ok": True, "took": 0.5}
    assert (log["trace_id"], log["span_id"]) == (TRACE, "b" * 16)
    assert (log["service_name"], log["resource"]) == ("billing", {"service.name": "billing"})
    assert (log["instrumentation_scope_name"], log["instrumentation_scope_version"]) == ("sdk", "9")


async def test_nested_values_and_64_bit_numbers_as_text_are_understood(harness: Harness) -> None:
    nested = {
        "kvlistValue": {
            "values": [
                {"key": "ids", "value": {"arrayValue": {"values": [{"intValue": "9007199254740993"}]}}}
            ]
        }
    }
    harness.send_logs(record(attributes=[{"key": "deep", "value": nested}, {"key": "nothing"}]))
    (log,) = (await harness.call("engine::logs::list", {}))["logs"]

    assert log["attributes"] == {"deep": {"ids": [9007199254740993]}, "nothing": None}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["third", "second", "first"]),
        ({"limit": 1}, ["third"]),
        ({"offset": 1, "limit": 1}, ["second"]),
        ({"severity_min": 13}, ["third", "second"]),
        ({"severity_text": "warn"}, ["second"]),
        ({"trace_id": TRACE}, ["first"]),
        ({"start_time": T0_MS + 1, "end_time": T0_MS + 1}, ["second"]),
        ({"limit": 0}, []),
    ],
)
async def test_logs_are_listed_newest_first_and_filtered(
    harness: Harness, query: dict[str, object], expected: list[str]
) -> None:
    for level, message, trace_id in (
        ("info", "first", TRACE),
        ("warn", "second", None),
        ("error", "third", None),
    ):
        await harness.call(f"engine::log::{level}", {"message": message, "trace_id": trace_id})
        harness.pass_ms(1)
    listed = await harness.call("engine::logs::list", query)

    assert [each["body"] for each in listed["logs"]] == expected
    if not {"offset", "limit"} & query.keys():
        assert listed["total"] == len(expected)


async def test_the_total_is_that_before_paging(harness: Harness) -> None:
    for _ in range(3):
        await harness.call("engine::log::info", {"message": "x"})

    assert (await harness.call("engine::logs::list", {"limit": 1}))["total"] == 3


async def test_cleared_logs_are_gone(harness: Harness) -> None:
    await harness.call("engine::log::info", {"message": "x"})

    assert await harness.call("engine::logs::clear", {}) == {"success": True}
    assert (await harness.call("engine::logs::list", {}))["total"] == 0


async def test_logs_are_bounded_by_count_and_by_age() -> None:
    harness = Harness(replace(SETTINGS, max_logs=2, logs_retention_s=60))
    for message in ("first", "second", "third"):
        await harness.call("engine::log::info", {"message": message})
    assert [each["body"] for each in (await harness.call("engine::logs::list", {}))["logs"]] == [
        "third",
        "second",
    ]

    harness.pass_ms(61_000)
    assert (await harness.call("engine::logs::list", {}))["logs"] == []
    await harness.aclose()


async def test_switched_off_logs_are_not_kept_and_do_not_fire() -> None:
    harness = Harness(replace(SETTINGS, logs=Destination()))
    received = harness.recorder("watch")
    harness.bind("log", "watch", {})
    assert await harness.call("engine::log::info", {"message": "x"}) is None
    harness.send_logs(record())
    await harness.settle()

    assert await harness.call("engine::logs::list", {}) == {"logs": [], "total": 0, "timestamp": T0_MS}
    assert received == []
    await harness.aclose()


@pytest.mark.parametrize(("ratio", "kept"), [(0.0, 0), (0.25, 2), (1.0, 8)])
async def test_the_sampling_ratio_is_the_share_that_is_kept(ratio: float, kept: int) -> None:
    harness = Harness(replace(SETTINGS, logs_sampling_ratio=ratio))
    for _ in range(4):
        await harness.call("engine::log::info", {"message": "x"})
    harness.send_logs(*[record() for _ in range(4)])

    assert (await harness.call("engine::logs::list", {}))["total"] == kept
    await harness.aclose()


async def test_logs_are_lines_of_the_bridges_own_log_if_wanted() -> None:
    harness = Harness(replace(SETTINGS, print_logs=True))
    with structlog.testing.capture_logs() as lines:
        await harness.call(
            "engine::log::warn", {"message": "slow", "data": {"ms": 5}, "service_name": "billing"}
        )

    assert lines == [{"event": "slow", "log_level": "warning", "service": "billing"}]
    await harness.aclose()


@pytest.mark.parametrize(
    ("config", "fires"),
    [
        ({}, True),
        ({"level": "all"}, True),
        ({"level": "info"}, True),
        ({"level": "debug"}, False),
        (None, True),
    ],
)
async def test_a_log_trigger_compares_its_level_for_equality(
    harness: Harness, config: dict[str, str] | None, fires: bool
) -> None:
    received = harness.recorder("watch")
    harness.bind("log", "watch", config)
    await harness.call("engine::log::info", {"message": "x"})
    harness.send_logs(record("y"))
    await harness.settle()

    assert [each["body"] for each in received] == (["x", "y"] if fires else [])


async def test_a_log_trigger_gets_the_record_with_all_keys(harness: Harness) -> None:
    received = harness.recorder("watch")
    harness.bind("log", "watch", {"level": "error"})
    await harness.call("engine::log::error", {"message": "x"})
    await harness.settle()
    (log,) = (await harness.call("engine::logs::list", {}))["logs"]

    assert received == [log]


async def test_an_unknown_level_is_refused(harness: Harness) -> None:
    with pytest.raises(TriggerRejectedError, match="trace, debug, info, warn or error"):
        harness.bind("log", "watch", {"level": "loud"})


async def test_an_unbound_log_trigger_fires_no_more(harness: Harness) -> None:
    received = harness.recorder("watch")
    harness.engine.triggers.unbind(harness.bind("log", "watch", {}))
    await harness.call("engine::log::info", {"message": "x"})
    await harness.settle()

    assert received == []


async def test_functions_that_cannot_keep_up_do_not_pile_up_calls(harness: Harness, monkeypatch) -> None:
    monkeypatch.setattr("bridge.builtins.observability.log_trigger._MOST_IN_FLIGHT", 2)
    received = harness.recorder("watch")
    harness.bind("log", "watch", {})
    harness.send_logs(*[record(str(each)) for each in range(5)])
    await harness.settle()
    assert [each["body"] for each in received] == ["0", "1"]

    harness.send_logs(record("later"))
    await harness.settle()
    assert [each["body"] for each in received] == ["0", "1", "later"]


@pytest.mark.parametrize("with_data", [False, True])
async def test_a_printed_log_has_the_ids_of_its_sender_and_its_data_only_if_asked(with_data: bool) -> None:
    harness = Harness(replace(SETTINGS, print_logs=True, print_log_data=with_data))
    worker = Worker(
        id="worker-1", send=lambda _: None, abort=lambda: None, reattach_token="", connected_at_ms=0
    )
    call = Call(
        "engine::log::warn",
        payload.encode({"message": "declined", "data": {"card": "4111"}, "trace_id": TRACE}),
        caller=worker,
        job=Job("chain-1", "home", "iii.chain/x", "step-1"),
    )
    with structlog.testing.capture_logs() as lines:
        await harness.engine.invoke(call)

    ids = {"service": "unknown", "worker_id": "worker-1", "chain_id": "chain-1", "step": "step-1"}
    told = {"event": "declined", "log_level": "warning", **ids, "trace_id": TRACE}
    assert lines == [told | ({"data": {"card": "4111"}} if with_data else {})]
    (kept,) = (await harness.call("engine::logs::list", {}))["logs"]
    assert kept["attributes"] == {"card": "4111"}
