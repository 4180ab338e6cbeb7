"""The event of one fire, as iii formats it."""

import json

import pytest

from bridge.builtins.cron.event import cron_event

SCHEDULED_MS = 1_772_619_900_000  # 2026-03-04T10:25:00Z


def test_the_event_has_the_four_fields_of_iii() -> None:
    event = cron_event(
        job_id="trigger-1", scheduled_at_ms=SCHEDULED_MS, actual_at_ns=SCHEDULED_MS * 10**6 + 1_874_000
    )
    assert json.loads(bytes(event)) == {
        "trigger": "cron",
        "job_id": "trigger-1",
        "scheduled_time": "2026-03-04T10:25:00+00:00",
        "actual_time": "2026-03-04T10:25:00.001874+00:00",
    }


@pytest.mark.parametrize(
    ("nanoseconds", "fraction"),
    [
        (0, ""),
        (7_000_000, ".007"),
        (120_000_000, ".120"),
        (1_874_000, ".001874"),
        (1_874_001, ".001874001"),
        (1, ".000000001"),
    ],
)
def test_the_actual_time_has_as_many_groups_of_three_digits_as_it_needs(
    nanoseconds: int, fraction: str
) -> None:
    event = cron_event(
        job_id="t", scheduled_at_ms=SCHEDULED_MS, actual_at_ns=SCHEDULED_MS * 10**6 + nanoseconds
    )
    assert json.loads(bytes(event))["actual_time"] == f"2026-03-04T10:25:00{fraction}+00:00"


def test_the_scheduled_time_has_no_fraction() -> None:
    event = cron_event(job_id="t", scheduled_at_ms=SCHEDULED_MS + 999, actual_at_ns=0)
    assert json.loads(bytes(event))["scheduled_time"] == "2026-03-04T10:25:00+00:00"
