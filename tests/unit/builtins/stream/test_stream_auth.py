from typing import Any

import pytest
from websockets.datastructures import Headers

from bridge.builtins.stream.auth import AuthInput, context_of
from bridge.protocol import payload
from bridge.protocol.payload import NULL
from bridge.protocol.upgrade import parse_query, visible_headers
from tests.unit.builtins.state.engine_harness import NO_RESULT
from tests.unit.builtins.stream.conftest import StreamHarness

REQUEST = AuthInput({"host": "h:3112"}, "/", {"token": ["abc"]}, "10.0.0.5:51544")


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("a=1&a=2&b=3&c=", {"a": ["1", "2"], "b": ["3"], "c": [""]}),
        ("flag&=lost&&token=a%20b%3D=c", {"flag": [""], "token": ["a%20b%3D=c"]}),
        ("", {}),
    ],
)
def test_query_values_come_as_lists_and_undecoded(query: str, values: dict[str, list[str]]) -> None:
    assert parse_query(query) == values


def test_headers_have_lower_case_names_and_visible_values() -> None:
    headers = Headers()
    for name, value in (
        ("Host", "h:3112"),
        ("X-Name", "Zoë"),
        ("X-Two", "1"),
        ("x-two", "2"),
    ):
        headers[name] = value
    assert visible_headers(headers.raw_items()) == {"host": "h:3112", "x-two": "2"}


@pytest.mark.parametrize(
    ("answer", "context"),
    [
        ({"context": {"user": "ann"}}, {"user": "ann"}),
        ({"context": None}, None),
        ({}, None),
        ("ann", None),
        ([], None),
        (NO_RESULT, None),
    ],
)
async def test_the_context_is_what_the_function_says_or_null(
    harness: StreamHarness, answer: Any, context: Any
) -> None:
    asked: list[Any] = []

    def authenticate(request: Any) -> Any:
        asked.append(request)
        return answer

    harness.offer("app::ws-auth", authenticate)
    assert await context_of(harness.engine, "app::ws-auth", REQUEST) == payload.encode(context)
    assert asked == [
        {
            "headers": {"host": "h:3112"},
            "path": "/",
            "query_params": {"token": ["abc"]},
            "addr": "10.0.0.5:51544",
        }
    ]


async def test_a_missing_or_failing_function_gives_no_context(harness: StreamHarness) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("boom")

    harness.offer("broken", fail)
    assert await context_of(harness.engine, "broken", REQUEST) == NULL
    assert await context_of(harness.engine, "missing", REQUEST) == NULL
