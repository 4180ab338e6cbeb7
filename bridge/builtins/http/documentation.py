"""Serves the OpenAPI document and its readable page, where no route of a worker is."""

import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from bridge.builtins.http.openapi import openapi_document
from bridge.builtins.http.response import Response
from bridge.builtins.http.routes import Route, RouteTable
from bridge.builtins.http.settings import HttpSettings
from bridge.engine.engine import Engine
from bridge.engine.functions import FunctionSchema
from bridge.protocol import payload

__all__ = ["Documentation"]

MAX_AGE_S = 1
"""How old the document may be: what bounds the cost of asking for it over and over."""

_PAGE = Path(__file__).with_name("docs.html").read_text(encoding="utf-8")
_PAGE_POLICY = (
    b"default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Documentation:
    """Describes the routes that are registered now.

    Args:
        engine: Knows what functions say about themselves.
        routes: The routes.
        clock_s: Monotonic time.
    """

    def __init__(
        self, engine: Engine, routes: RouteTable, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._routes = routes
        self._clock_s = clock_s
        self._document: tuple[float, bytes] | None = None

    def find(self, method: str, raw_path: str, settings: HttpSettings) -> Response | None:
        """Return the document, its page, or `None` when neither is asked for."""
        if method != "GET":
            return None
        if raw_path == settings.openapi_path:
            return Response(HTTPStatus.OK, ((b"content-type", b"application/json"),), self._current())
        if raw_path == settings.docs_path and settings.openapi_path is not None:
            page = _PAGE.replace("OPENAPI_PATH", _script_text(settings.openapi_path))
            headers = (
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-security-policy", _PAGE_POLICY),
            )
            return Response(HTTPStatus.OK, headers, page.encode())
        return None

    def _current(self) -> bytes:
        now_s = self._clock_s()
        if self._document is None or now_s - self._document[0] >= MAX_AGE_S:
            made = openapi_document(self._routes, self._schema, version=version("iii-temporal"))
            self._document = (now_s, made)
        return self._document[1]

    def _schema(self, route: Route) -> FunctionSchema | None:
        function = self._engine.functions.find(route.binding.function_id, route.binding.namespace)
        return function.schema if function else None


def _script_text(text: str) -> str:
    return bytes(payload.encode(text)).decode().replace("<", "\\u003c")
