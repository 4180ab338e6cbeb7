"""What functions return, as HTTP (spec 04 §3, §8.3)."""

import json
import re
from typing import Any

import msgspec
import pytest

from bridge.builtins.http.middleware import verdict
from bridge.builtins.http.response import (
    Response,
    StreamedHead,
    error_id,
    error_response,
    failed,
    from_middleware,
    from_result,
)
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody

JSON = (b"content-type", b"application/json")


def returned(value: Any) -> Response:
    return from_result(payload.encode(value))


@pytest.mark.parametrize("value", [{}, {"foo": 1}, [], "text", 7, True])
def test_what_is_not_the_envelope_is_an_empty_object(value: Any) -> None:
    assert returned(value) == Response(200, (JSON,), b"{}")


@pytest.mark.parametrize(
    ("status", "sent"),
    [(201, 201), (500, 500), (204, 204), (100, 100), (999, 999)]
    + [(bad, 200) for bad in ("404", 201.0, True, None, -1, 0, 99, 1000, 10**30, [])],
)
def test_the_status_is_used_if_it_is_an_integer_in_range(status: Any, sent: int) -> None:
    assert returned({"status_code": status}).status == sent


def test_the_alias_of_the_python_model_is_understood() -> None:
    assert returned({"statusCode": 201}).status == 201
    assert returned({"statusCode": 201, "status_code": 202}).status == 202


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"X-A": "1", "x-b": 2, "x-c": None}, ((b"x-a", b"1"),)),
        (["X-A: 1", 7, "no colon", ": no name", " X-B :  2 "], ((b"x-a", b"1"), (b"x-b", b"2"))),
        (["Set-Cookie: a=1", "Set-Cookie: b=2"], ((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))),
        (None, ()),
        ("X-A: 1", ()),
        ({"bad name": "1", "x-a": "1\r\nx-evil: 1", "x-ok": "fine"}, ((b"x-ok", b"fine"),)),
    ],
)
def test_headers_come_in_two_forms_and_what_cannot_be_sent_is_skipped(headers: Any, sent: Any) -> None:
    assert returned({"headers": headers}).headers == (*sent, JSON)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"a": [1, None]}, b'{"a":[1,null]}'),
        ("plain", b'"plain"'),
        (None, b"null"),
        (7, b"7"),
        (True, b"true"),
        ("é", '"é"'.encode()),
    ],
)
def test_without_a_content_type_every_body_is_json(body: Any, sent: bytes) -> None:
    assert returned({"body": body}) == Response(200, (JSON,), sent)


@pytest.mark.parametrize(
    ("content_type", "body", "sent"),
    [
        ("text/xml", "<a/>", b"<a/>"),
        ("application/json", "already text", b"already text"),
        ("text/plain", "é\n", "é\n".encode()),
        ("text/plain", None, b""),
        ("application/json", None, b""),
        ("APPLICATION/JSON", {"a": 1}, b'{"a":1}'),
        ("text/plain", {"a": 1}, b'{"a":1}'),
        ("text/plain", 7, b"7"),
    ],
)
def test_with_a_content_type_text_is_sent_as_it_is(content_type: str, body: Any, sent: bytes) -> None:
    response = returned({"headers": {"Content-Type": content_type}, "body": body})
    assert response == Response(200, ((b"content-type", content_type.encode()),), sent)


def test_json_is_sent_compact() -> None:
    assert from_result(msgspec.Raw(b'{"body": {"a": 1, "b": "x y"}}')).body == b'{"a":1,"b":"x y"}'


def test_a_custom_header_stands_beside_the_content_type() -> None:
    response = returned({"headers": {"X-A": "1", "Content-Type": "text/css"}, "body": "a{}"})
    assert response.headers == ((b"x-a", b"1"), (b"content-type", b"text/css"))


def test_an_error_of_ours_has_the_envelope() -> None:
    response = error_response(404, "NOT_FOUND", "Not Found")
    assert json.loads(response.body) == {"error": {"code": "NOT_FOUND", "message": "Not Found"}}
    assert response.headers == (JSON,)


def test_a_failed_function_shows_its_code_and_never_its_stack() -> None:
    response = failed(ErrorBody("invocation_failed", "kaput", "Traceback"), "abc")
    assert response.status == 500
    assert json.loads(response.body) == {
        "error": {"code": "invocation_failed", "message": "kaput", "error_id": "abc"}
    }


def test_an_error_id_is_short_hex_and_differs_after_a_millisecond() -> None:
    now_ns = 1_700_000_000_123_456_789
    assert re.fullmatch("[0-9a-f]{1,12}", error_id(now_ns))
    assert error_id(now_ns) != error_id(now_ns + 1_000_000)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, 404), (100, 100), (599, 599)] + [(bad, 200) for bad in (99, 600, "abc", None, True)],
)
def test_a_streamed_status_is_used_if_it_is_in_range(status: Any, expected: int) -> None:
    head = StreamedHead()
    head.apply(json.dumps({"type": "set_status", "status_code": status}))
    assert head.status == expected


def test_streamed_headers_are_merged() -> None:
    head = StreamedHead()
    head.apply('{"type":"set_headers","headers":{"x-a":"1","x-b":"1","x-n":7}}')
    head.apply('{"type":"set_headers","headers":{"x-b":"2","bad name":"1"}}')
    head.apply('{"type":"set_status","status_code":206}')
    assert head.headers == ((b"x-a", b"1"), (b"x-b", b"2"))
    assert head.status == 206


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not json",
        "[]",
        "7",
        '{"type":"other"}',
        '{"status_code":404}',
        '{"type":"set_headers"}',
        '{"type":"set_headers","headers":{}}',
        '{"type":"set_headers","headers":7}',
        "[" * 9000,
        "\ud800",
    ],
)
def test_a_control_message_that_says_nothing_changes_nothing(message: str) -> None:
    head = StreamedHead()
    head.apply(message)
    assert (head.status, head.headers) == (200, ())


@pytest.mark.parametrize(
    "value", [{"action": "continue", "request": {}}, {}, {"action": 7}, [], "respond", None]
)
def test_a_middleware_that_does_not_respond_lets_the_request_go_on(value: Any) -> None:
    assert verdict("m", payload.encode(value)) is None
    assert verdict("m", payload.ABSENT) is None


def test_a_middleware_responds() -> None:
    response = verdict(
        "m",
        payload.encode(
            {
                "action": "respond",
                "response": {"status_code": 403, "body": {"e": 1}, "headers": {"X-By": "a"}},
            }
        ),
    )
    assert response == Response(403, (JSON, (b"x-by", b"a")), b'{"e":1}')


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Response(200, (JSON,), b"null")),
        ({"body": "text"}, Response(200, (JSON,), b'"text"')),
        ({"status_code": 99}, Response(200, (JSON,), b"null")),
        ({"headers": {"a": "1", "b": 2}}, Response(200, (JSON,), b"null")),
        ({"headers": ["a: 1"]}, Response(200, (JSON,), b"null")),
        ({"headers": {"Content-Type": "text/x"}}, Response(200, ((b"content-type", b"text/x"),), b"null")),
    ],
)
def test_a_middleware_response_is_always_json(given: Any, expected: Response) -> None:
    assert from_middleware(payload.encode(given)) == expected


def test_a_middleware_may_leave_out_the_response() -> None:
    assert from_middleware(payload.ABSENT) == Response(200, (JSON,), b"null")
