from hypothesis import given
from hypothesis import strategies as st

from bridge.storage import join_scope, scope_prefix, split_scope

names = st.text(st.characters(codec="utf-8") | st.sampled_from(":%23A"))
parts = st.lists(names, min_size=1, max_size=4)


def test_plain_names_stay_readable() -> None:
    assert join_scope("stream", "chat", "room-7") == "stream:chat:room-7"


@given(parts)
def test_parts_survive_the_round_trip(original: list[str]) -> None:
    assert list(split_scope(join_scope(*original))) == original


@given(parts, parts)
def test_a_prefix_matches_exactly_the_names_below_it(first: list[str], second: list[str]) -> None:
    is_below = len(second) > len(first) and second[: len(first)] == first
    assert join_scope(*second).startswith(scope_prefix(*first)) == is_below


def test_a_colon_in_a_name_is_not_a_separator() -> None:
    assert join_scope("stream", "x:a", "b") != join_scope("stream", "x", "a:b")
