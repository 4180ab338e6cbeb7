"""Settings of the HTTP worker and the CORS headers they lead to (spec 04 §5)."""

import pytest

from bridge.builtins.http import CorsSettings, GlobalMiddleware, HttpSettings
from bridge.builtins.http.cors import Cors

VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
ANY_HEADER = (b"access-control-allow-headers", b"*")


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
