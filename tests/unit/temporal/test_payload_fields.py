"""What a queue reads from its messages (spec 02 §1.1, §2.3)."""

import json
from typing import Any

import msgspec
import pytest

from bridge.errors import EnqueueError
from bridge.temporal.payload_fields import PayloadFields

YEAR_MS = 31_536_000_000


def fields(data: Any) -> PayloadFields:
    return PayloadFields("jobs", msgspec.Raw(json.dumps(data).encode()))


@pytest.mark.parametrize(
    ("highest", "keys"),
    [
        (1, [5, 4, 4]),
        (4, [5, 4, 3, 2, 1, 1]),
        (5, [5, 5, 4, 3, 2, 1, 1]),
        (9, [5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1]),
    ],
)
def test_larger_priorities_are_more_urgent_and_spread_over_the_levels(highest: int, keys: list[int]) -> None:
    assert [fields({"p": p}).priority_key("p", highest) for p in range(len(keys))] == keys


def test_the_extremes_of_the_widest_range_are_the_extremes_of_temporal() -> None:
    assert fields({"p": 0}).priority_key("p", 255) == 5
    assert fields({"p": 255}).priority_key("p", 255) == 1
    assert fields({"p": 10**30}).priority_key("p", 255) == 1


@pytest.mark.parametrize(
    "data", [{}, {"p": None}, {"p": "9"}, {"p": -1}, {"p": 1.5}, {"p": True}, [9], 9, None]
)
def test_a_message_without_a_usable_priority_goes_last(data: Any) -> None:
    assert fields(data).priority_key("p", 4) == 5


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.5), ("1", "2"), ("x" * 900 + "a", "x" * 900 + "b"), (1, True)]
)
def test_different_values_are_not_duplicates(one: Any, other: Any) -> None:
    assert fields({"id": one}).dedupe_value("id") != fields({"id": other}).dedupe_value("id")


@pytest.mark.parametrize(("data", "text"), [({}, "missing"), ({"id": None}, "null"), ([1], "not one")])
def test_a_message_that_cannot_be_compared_is_refused(data: Any, text: str) -> None:
    with pytest.raises(EnqueueError, match=f"Queue 'jobs'.*'id'.*{text}"):
        fields(data).dedupe_value("id")


@pytest.mark.parametrize(("data", "delay_ms"), [({"d": 0}, 0), ({"d": YEAR_MS}, YEAR_MS), ({}, 0), ([1], 0)])
def test_a_delay_is_a_number_of_milliseconds_or_none(data: Any, delay_ms: int) -> None:
    assert fields(data).delay_ms("d") == delay_ms


@pytest.mark.parametrize("value", [-1, YEAR_MS + 1, 10**30, 1.5, "100", True, None, {}])
def test_a_delay_that_is_none_is_refused_with_the_queue_and_the_field(value: Any) -> None:
    with pytest.raises(EnqueueError, match="Queue 'jobs' reads a delay from the field 'd'"):
        fields({"d": value}).delay_ms("d")
