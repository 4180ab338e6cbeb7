"""The request object (spec 04 §2)."""

from typing import Any

import msgspec
import pytest

from bridge.builtins.http.request import RequestHead, frames, json_body, middleware_input, request_object
from bridge.builtins.http.routes import Route, parse_pattern
from bridge.engine.triggers import Binding
from bridge.protocol import payload


def head_of(
    *, method: str = "GET", path: bytes = b"/", query: bytes = b"", headers: list[tuple[bytes, bytes]] = ()
) -> RequestHead:
    return RequestHead.of(
        {"method": method, "raw_path": path, "query_string": query, "headers": list(headers)}
    )


def route_of(path: str, method: str = "GET") -> Route:
    return Route(Binding("id", "http", "f", payload.NULL), method, path, parse_pattern(path))


def test_the_request_object_has_exactly_nine_keys() -> None:
    head = head_of(method="PUT", query=b"dry=1", headers=[(b"host", b"h"), (b"x-tag", b"b")])
    built = request_object(
        head,
        route_of("items/:sku", "PUT"),
        {"sku": "A%2F7"},
        json_body(b'{"price": 12.5}'),
        request_body={"direction": "read"},
        response={"direction": "write"},
    )
    assert msgspec.json.decode(built) == {
        "query_params": {"dry": "1"},
        "path_params": {"sku": "A%2F7"},
        "headers": {"host": "h", "x-tag": "b"},
        "path": "items/:sku",
        "method": "PUT",
        "body": {"price": 12.5},
        "trigger": {"type": "http", "path": "items/:sku", "method": "PUT"},
        "request_body": {"direction": "read"},
        "response": {"direction": "write"},
    }


def test_a_condition_gets_no_channels() -> None:
    built = msgspec.json.decode(request_object(head_of(), route_of("/"), {}, payload.NULL))
    assert "request_body" not in built
    assert "response" not in built


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"q=hello&limit=10", {"q": "hello", "limit": "10"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"flag", {"flag": ""}),
        (b"a=x+y%20z", {"a": "x y z"}),
        (b"a=%ff", {"a": "�"}),
        (b"a=%zz&=1", {"a": "%zz", "": "1"}),
    ],
)
def test_the_query_is_decoded_and_the_last_value_wins(query: bytes, expected: dict[str, str]) -> None:
    assert head_of(query=query).query_params == expected


def test_the_last_of_repeated_headers_wins_and_an_odd_value_becomes_empty() -> None:
    head = head_of(headers=[(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", "é".encode()), (b"x-c", b"a\tb")])
    assert head.headers == {"x-a": "2", "x-b": "", "x-c": "a\tb"}


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        (b"application/json", True),
        (b"application/json; charset=utf-8", True),
        (b"Application/JSON", False),
        (b"application/problem+json", False),
        (b"text/plain", False),
    ],
)
def test_json_is_told_by_a_case_sensitive_part_of_the_content_type(
    content_type: bytes, is_json: bool
) -> None:
    assert head_of(headers=[(b"content-type", content_type)]).is_json is is_json


@pytest.mark.parametrize(
    "raw", [b'{"z":2, "a":1}', b"[]", b'"text"', b"1e400", b"null", b"12345678901234567890123"]
)
def test_a_json_body_is_passed_on_unparsed(raw: bytes) -> None:
    assert bytes(json_body(raw)) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nope",
        b"{}{}",
        b'"\xff"',
        b'{"a":"\xc3"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"[" * 9000 + b"]" * 9000,
    ],
)
def test_a_body_that_is_not_json_is_null(raw: bytes) -> None:
    assert json_body(raw) == payload.NULL


def test_a_middleware_gets_the_head_and_no_body() -> None:
    head = head_of(query=b"q=hello", headers=[(b"authorization", b"Bearer t")])
    assert msgspec.json.decode(middleware_input(head, {"id": "42"})) == {
        "phase": "preHandler",
        "request": {
            "path_params": {"id": "42"},
            "query_params": {"q": "hello"},
            "headers": {"authorization": "Bearer t"},
            "method": "GET",
        },
        "context": {},
    }


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 200_000])
def test_bytes_are_cut_into_messages_every_sdk_can_read(size: int) -> None:
    raw = bytes(index % 251 for index in range(size))
    cut = list(frames(raw))
    assert b"".join(cut) == raw
    assert all(0 < len(each) <= 65536 for each in cut)


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(("given", "expected"), [(TRACE, TRACE), ("nonsense", None)])
def test_a_trace_is_continued_if_it_is_one(given: str, expected: Any) -> None:
    head = head_of(headers=[(b"traceparent", given.encode()), (b"baggage", b"user=1")])
    assert head.traceparent == expected
    assert head.baggage == "user=1"
