"""What a cron trigger's configuration means, and which triggers are the same."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import ScheduleOverlapPolicy

from bridge.builtins.cron.trigger import CronTrigger, Plan, read_trigger
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT

HOURLY = "0 0 * * * *"


def read(config: Any, *, metadata: Any = None, **binding: Any) -> CronTrigger:
    fields = {"id": "trigger-1", "function_id": "reports::nightly", **binding}
    return read_trigger(
        Binding(
            trigger_type="cron",
            config=payload.encode(config),
            metadata=ABSENT if metadata is None else payload.encode(metadata),
            **fields,
        ),
        {"Europe/Berlin", "UTC"},
    )


def plan(config: Any) -> Plan:
    return read(config).plan(heartbeat_timeout_ms=10_000)


@pytest.mark.parametrize(
    "config", [{}, {"expression": ""}, {"expression": None}, {"expression": 5}, None, "x"]
)
def test_an_expression_is_required(config: Any) -> None:
    with pytest.raises(TriggerRejectedError, match=r"^Cron expression is required$"):
        read(config)


def test_a_bad_expression_is_rejected_with_the_text_of_iii() -> None:
    with pytest.raises(TriggerRejectedError, match=r"^Invalid cron expression '0 9 \* \* \*': "):
        read({"expression": "0 9 * * *"})


def test_keys_nobody_knows_are_ignored() -> None:
    assert read({"expression": HOURLY, "catch_up": True}).config.expression == HOURLY


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("condition_function_id", 5),
        ("overlap", "cancel_other"),
        ("overlap", None),
        ("catchup_window_ms", 9_999),
        ("catchup_window_ms", 1.5),
        ("jitter_ms", -1),
        ("timezone", 1),
    ],
)
def test_a_key_of_ours_that_cannot_be_used_is_rejected_by_name(key: str, value: Any) -> None:
    with pytest.raises(TriggerRejectedError, match=key):
        read({"expression": HOURLY, key: value})


def test_an_unknown_timezone_is_rejected_with_a_remedy() -> None:
    with pytest.raises(TriggerRejectedError, match=r"'Mars/Olympus'.*Europe/Berlin"):
        read({"expression": HOURLY, "timezone": "Mars/Olympus"})


def test_without_keys_of_ours_a_trigger_skips_overlaps_and_runs_in_utc() -> None:
    wanted = plan({"expression": HOURLY})
    assert wanted.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert wanted.policy.catchup_window == timedelta(minutes=1)
    assert wanted.spec.time_zone_name is None
    assert wanted.spec.jitter is None
    assert wanted.fire.timezone == "UTC"


def test_the_keys_of_ours_reach_the_schedule() -> None:
    wanted = plan(
        {
            "expression": HOURLY,
            "timezone": "Europe/Berlin",
            "overlap": "buffer_one",
            "catchup_window_ms": 3_600_000,
            "jitter_ms": 2_500,
        }
    )
    assert wanted.policy.overlap is ScheduleOverlapPolicy.BUFFER_ONE
    assert wanted.policy.catchup_window == timedelta(hours=1)
    assert wanted.spec.time_zone_name == "Europe/Berlin"
    assert wanted.spec.jitter == timedelta(seconds=2.5)
    assert wanted.fire.timezone == "Europe/Berlin"
    assert wanted.fire.catchup_window_ms == 3_600_000


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("skip", ScheduleOverlapPolicy.SKIP),
        ("buffer_one", ScheduleOverlapPolicy.BUFFER_ONE),
        ("buffer_all", ScheduleOverlapPolicy.BUFFER_ALL),
        ("allow_all", ScheduleOverlapPolicy.ALLOW_ALL),
    ],
)
def test_every_overlap_policy_has_its_counterpart(name: str, policy: ScheduleOverlapPolicy) -> None:
    assert plan({"expression": HOURLY, "overlap": name}).policy.overlap is policy


def test_triggers_of_replicas_are_the_same() -> None:
    one = read({"expression": HOURLY}, id="trigger-1", metadata={"tenant": "a", "tier": 1})
    two = read({"expression": HOURLY}, id="trigger-2", metadata={"tier": 1, "tenant": "a"})
    assert one.key == two.key


def test_a_change_of_how_fires_are_spread_keeps_the_schedule() -> None:
    one = read({"expression": HOURLY})
    two = read({"expression": HOURLY, "overlap": "allow_all", "jitter_ms": 10, "catchup_window_ms": 20_000})
    assert one.key == two.key


@pytest.mark.parametrize(
    "other",
    [
        read({"expression": "0 1 * * * *"}),
        read({"expression": HOURLY, "timezone": "Europe/Berlin"}),
        read({"expression": HOURLY, "condition_function_id": "is_open"}),
        read({"expression": HOURLY}, metadata={"tenant": "b"}),
        read({"expression": HOURLY}, namespace="staging"),
        read({"expression": HOURLY}, function_id="reports::hourly"),
    ],
)
def test_a_trigger_that_asks_for_something_else_has_a_schedule_of_its_own(other: CronTrigger) -> None:
    assert other.key != read({"expression": HOURLY}).key


def test_the_key_begins_with_the_function_and_has_a_bounded_length() -> None:
    assert read({"expression": HOURLY}).key.startswith("reports::nightly/")
    one = read({"expression": HOURLY}, function_id="f" * 2000 + "1")
    two = read({"expression": HOURLY}, function_id="f" * 2000 + "2")
    assert len(one.key) < 300
    assert one.key != two.key
