"""Settings of the HTTP worker and the CORS headers they lead to (spec 04 §5)."""

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.builtins.http import CorsSettings, GlobalMiddleware, HttpSettings
from bridge.builtins.http.cors import Cors
from bridge.config import HttpBlock
from bridge.settings import http_settings

VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
ANY_HEADER = (b"access-control-allow-headers", b"*")


def test_an_empty_configuration_gives_the_defaults() -> None:
    settings = http_settings(HttpBlock())
    assert settings == HttpSettings()
    assert (settings.port, settings.default_timeout_ms, settings.concurrency_request_limit) == (
        3111,
        30_000,
        1024,
    )
    assert (settings.cors, settings.middleware) == (None, ())


def test_a_limit_of_no_request_at_all_is_one() -> None:
    assert http_settings(HttpBlock(concurrency_request_limit=0)).concurrency_request_limit == 1


@pytest.mark.parametrize(
    "block",
    [
        {"trust_proxy": True},
        {"cors": {"allow_credentials": True}},
        {"middleware": [{"function_id": "f", "priorty": 1}]},
    ],
)
def test_unknown_keys_are_errors_at_every_level(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        HttpBlock.model_validate(block)


def test_global_middleware_runs_by_priority_and_only_in_its_phase() -> None:
    settings = HttpSettings(
        middleware=(
            GlobalMiddleware("c", priority=30),
            GlobalMiddleware("a", priority=10),
            GlobalMiddleware("b1", priority=20),
            GlobalMiddleware("never", phase="onResponse"),
            GlobalMiddleware("b2", priority=20),
            GlobalMiddleware("first"),
        )
    )
    assert settings.global_middleware_ids == ("first", "a", "b1", "b2", "c")


def test_without_settings_everything_is_allowed_and_exposed() -> None:
    cors = Cors(None)
    assert cors.headers(None) == (ANY_ORIGIN, VARY, (b"access-control-expose-headers", b"*"))
    assert cors.preflight("http://a") == (
        ANY_ORIGIN,
        VARY,
        (b"access-control-allow-methods", b"*"),
        ANY_HEADER,
    )


@pytest.mark.parametrize("origins", [(), ("*",), ("http://a", "*")])
def test_settings_may_allow_any_origin(origins: tuple[str, ...]) -> None:
    cors = Cors(CorsSettings(origins, ("get", "POST")))
    assert cors.headers("http://b") == (ANY_ORIGIN, VARY)
    assert cors.preflight(None)[2:] == ((b"access-control-allow-methods", b"GET,POST"), ANY_HEADER)


@pytest.mark.parametrize(
    ("origin", "is_allowed"), [("http://localhost", True), ("http://other", False), (None, False)]
)
def test_listed_origins_are_compared_byte_for_byte(origin: str | None, is_allowed: bool) -> None:
    cors = Cors(CorsSettings(("http://localhost", "localhost")))
    allowed = ((b"access-control-allow-origin", b"http://localhost"),) if is_allowed else ()
    assert cors.headers(origin) == (*allowed, VARY)
