"""How the arguments of `iii-temporal trigger` become a payload (spec 05 §8.2)."""

import click
import pytest
from click.testing import CliRunner

from bridge.cli.trigger import command, read_payload


def read(*pairs: str, json_text: str | None = None) -> bytes:
    return bytes(read_payload(pairs, json_text))


def test_without_arguments_the_payload_is_an_empty_object() -> None:
    assert read() == b"{}"


@pytest.mark.parametrize(
    ("pair", "entry"),
    [
        ("a=10", b'{"a":10}'),
        ("a=true", b'{"a":true}'),
        ("a=null", b'{"a":null}'),
        ('a="x"', b'{"a":"x"}'),
        ('a={"b": [1]}', b'{"a":{"b": [1]}}'),
    ],
)
def test_a_value_that_is_json_is_taken_as_json(pair: str, entry: bytes) -> None:
    assert read(pair) == entry


@pytest.mark.parametrize(
    ("pair", "entry"),
    [
        ("a=hello", b'{"a":"hello"}'),
        ("a=", b'{"a":""}'),
        ("a=1.2.3", b'{"a":"1.2.3"}'),
        ("a=NaN", b'{"a":"NaN"}'),
        ("a={broken", b'{"a":"{broken"}'),
        ("a=Zürich", '{"a":"Zürich"}'.encode()),
    ],
)
def test_a_value_that_is_not_json_is_taken_as_text(pair: str, entry: bytes) -> None:
    assert read(pair) == entry


def test_the_first_equals_sign_ends_the_key() -> None:
    assert read("query=a=b=c") == b'{"query":"a=b=c"}'


def test_numbers_keep_every_digit() -> None:
    assert read("a=123456789012345678901234567890.10") == b'{"a":123456789012345678901234567890.10}'


@pytest.mark.parametrize("text", ["null", "[1, 2]", '"text"', '{"a": {"b":  1}}'])
def test_json_alone_is_taken_as_it_is(text: str) -> None:
    assert read(json_text=text) == text.encode()


def test_pairs_are_added_to_json_and_win() -> None:
    assert read("b=2", "c=3", json_text='{"a": 1, "b": 1}') == b'{"a":1,"b":2,"c":3}'


@pytest.mark.parametrize(
    ("pairs", "json_text", "message"),
    [
        (["a"], None, "expected key=value"),
        (["=a"], None, "must not be empty"),
        ([], "{", "--json: invalid JSON"),
        ([], "", "--json: invalid JSON"),
        (["a=1"], "[1]", "must be an object"),
        (["a=1"], "null", "must be an object"),
    ],
)
def test_what_is_no_payload_is_refused(pairs: list[str], json_text: str | None, message: str) -> None:
    with pytest.raises(click.ClickException, match=message):
        read(*pairs, json_text=json_text)


@pytest.mark.parametrize(
    "arguments", [["a::b", "a=\udcff"], ["a::b", "\udcff=a"], ["\udcff"], ["a::b", "--json", '"\udcff"']]
)
def test_arguments_that_are_not_utf_8_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert result.stderr == "Error: the arguments must be valid UTF-8, as all JSON is\n"
