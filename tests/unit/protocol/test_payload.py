import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.protocol import payload

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=5)
INDENTS = st.sampled_from([None, 1, 4])


@given(before=OBJECTS, key=st.text(max_size=8), value=JSON, indent=INDENTS, ascii_only=st.booleans())
def test_an_added_entry_wins_and_leaves_every_other_entry_alone(before, key, value, indent, ascii_only):
    raw = msgspec.Raw(json.dumps(before, indent=indent, ensure_ascii=ascii_only).encode())

    after = payload.with_entry(raw, key, value)

    assert json.loads(bytes(after)) == {**before, key: value}


@pytest.mark.parametrize("empty", [b"{}", b"{ }", b"{\n\t}"])
def test_an_entry_is_added_to_an_empty_object(empty):
    assert bytes(payload.with_entry(msgspec.Raw(empty), "k", 1)) == b'{"k":1}'


def test_an_entry_may_be_a_payload_that_is_not_parsed():
    raw = payload.with_entry(msgspec.Raw(b'{"a": 1.50}'), "b", msgspec.Raw(b"[2.0]"))

    assert bytes(raw) == b'{"a": 1.50,"b":[2.0]}'


def test_braces_in_strings_do_not_confuse_the_edit():
    raw = payload.with_entry(msgspec.Raw(b'{"a":"}{","b":{"c":"}"}}'), "k", "}")

    assert json.loads(bytes(raw)) == {"a": "}{", "b": {"c": "}"}, "k": "}"}


@pytest.mark.parametrize("value", ["[1]", '"{"', "1", "null", "true"])
def test_only_an_object_is_an_object(value):
    assert payload.is_object(msgspec.Raw(b'{"a":1}'))
    assert not payload.is_object(msgspec.Raw(value.encode()))


def test_null_and_absent_are_the_two_ways_of_not_being_present():
    assert not payload.is_present(payload.ABSENT)
    assert not payload.is_present(msgspec.Raw(b"null"))
    assert payload.is_present(msgspec.Raw(b"0"))


@given(JSON)
def test_a_value_encodes_as_its_own_json(value):
    assert json.loads(bytes(payload.encode(value))) == value
