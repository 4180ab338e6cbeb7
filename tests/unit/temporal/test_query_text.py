"""Texts of users in queries stay values."""

import pytest

from bridge.temporal.query_text import quoted


@pytest.mark.parametrize(
    ("text", "value"),
    [("", "''"), ("it's", "'it''s'"), ("a\0b", "'a\N{REPLACEMENT CHARACTER}b'"), ("ü", "'ü'")],
)
def test_a_text_is_one_value_whatever_it_contains(text: str, value: str) -> None:
    assert quoted(text) == value
