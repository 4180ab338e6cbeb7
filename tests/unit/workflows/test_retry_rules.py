"""The time between attempts (spec 02 §4.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.contract import RetryRules


@pytest.mark.parametrize(
    ("backoff_type", "delays_ms"),
    [
        ("exponential", [1000, 2000, 4000, 8000]),
        ("linear", [1000, 2000, 3000, 4000]),
        ("fixed", [1000, 1000, 1000, 1000]),
    ],
)
def test_delays_grow_as_configured(backoff_type: str, delays_ms: list[int]) -> None:
    rules = RetryRules(backoff_ms=1000, backoff_type=backoff_type)
    assert [rules.backoff_after_ms(failure) for failure in (1, 2, 3, 4)] == delays_ms


@given(
    backoff_ms=st.integers(0, 2**40),
    longest_ms=st.integers(1, 2**40),
    failure=st.integers(1, 2**32),
    kind=st.sampled_from(["exponential", "linear", "fixed"]),
)
def test_no_delay_is_longer_than_the_limit(backoff_ms: int, longest_ms: int, failure: int, kind: str) -> None:
    rules = RetryRules(backoff_ms=backoff_ms, max_backoff_ms=longest_ms, backoff_type=kind)
    assert 0 <= rules.backoff_after_ms(failure) <= longest_ms
    assert rules.backoff_after_ms(failure) <= rules.backoff_after_ms(failure + 1)
