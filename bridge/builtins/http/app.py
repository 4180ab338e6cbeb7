"""The ASGI application of the HTTP port: routing, CORS, and what is answered without a function."""

from collections.abc import MutableMapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import structlog

from bridge.builtins.http.body import Receive, RequestBody
from bridge.builtins.http.client import Client, ClientGoneError
from bridge.builtins.http.cors import Cors
from bridge.builtins.http.documentation import Documentation
from bridge.builtins.http.exchange import Exchange, Services
from bridge.builtins.http.request import RequestHead
from bridge.builtins.http.responder import Responder, Send
from bridge.builtins.http.response import Response, error_id, error_response
from bridge.builtins.http.routes import Match, RouteTable
from bridge.builtins.http.settings import HttpSettings
from bridge.builtins.http.slots import Slots
from bridge.entrance import CHALLENGE, UNAUTHORIZED, Entrance

__all__ = ["HttpApp"]

log = structlog.get_logger("bridge.http")

_CHALLENGE = (CHALLENGE[0].lower().encode(), CHALLENGE[1].encode())
_NOT_FOUND = error_response(HTTPStatus.NOT_FOUND, "NOT_FOUND", "Not Found")


class HttpApp:
    """Serves requests by the routes that are registered at that moment.

    Args:
        services: What exchanges work with.
        routes: The routes.
        settings: How requests are served.
        entrance: Whose requests are served.
    """

    def __init__(
        self, services: Services, routes: RouteTable, settings: HttpSettings, entrance: Entrance
    ) -> None:
        self._entrance = entrance
        self._services = services
        self._routes = routes
        self._documentation = Documentation(services.engine, routes)
        self._slots = Slots(settings.concurrency_request_limit)
        self.apply(settings)

    def apply(self, settings: HttpSettings) -> None:
        """Serve the requests from now on by new settings."""
        self._settings = settings
        self._cors = Cors(settings.cors)
        self._slots.resize(settings.concurrency_request_limit)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request while its client stays; an error of ours costs this request alone."""
        client: Client = scope["state"]["client"]
        head = RequestHead.of(scope)
        origin = head.headers.get("origin")
        if head.method == "OPTIONS":
            await Responder(send, self._cors.preflight(origin)).respond(Response(HTTPStatus.OK))
            return
        responder = Responder(send, self._cors.headers(origin))
        if not self._admits(head):
            await responder.respond(_unauthorized())
            return
        try:
            with client.staying():
                await self._serve(head, receive, responder)
        except* ClientGoneError as gone:
            log.debug("request abandoned", method=head.method, path=head.raw_path, reason=str(gone))
        except* Exception:  # one request fails; every other goes on
            log.exception("request failed inside the bridge", method=head.method, path=head.raw_path)
            if not responder.has_started:
                await responder.respond(
                    error_response(
                        HTTPStatus.INTERNAL_SERVER_ERROR,
                        "INTERNAL_ERROR",
                        "internal server error",
                        error_id=error_id(self._services.now_ns()),
                    )
                )

    def _admits(self, head: RequestHead) -> bool:
        authorization = head.headers.get("authorization")
        return self._entrance.admits(() if authorization is None else (authorization,))

    async def _serve(self, head: RequestHead, receive: Receive, responder: Responder) -> None:
        match = self._routes.match(head.raw_path)
        route = match.routes.get(head.method) if match else None
        if match is None or route is None:
            documentation = self._documentation.find(head.method, head.raw_path, self._settings)
            await responder.respond(documentation or _refusal(head, match))
            return
        body = RequestBody(
            receive,
            limit_bytes=self._settings.body_limit_bytes,
            declared_bytes=_declared_bytes(head),
        )
        exchange = Exchange(
            services=self._services,
            settings=self._settings,
            route=route,
            match=match,
            head=head,
            body=body,
            responder=responder,
        )
        await exchange.run(self._slots)


def _unauthorized() -> Response:
    refusal = error_response(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", UNAUTHORIZED)
    return replace(refusal, headers=(*refusal.headers, _CHALLENGE))


def _refusal(head: RequestHead, match: Match | None) -> Response:
    """Answer what no route serves (spec 04 §1.9)."""
    if match is None:
        return _NOT_FOUND
    if head.method == "HEAD" and "GET" in match.routes:
        return Response(HTTPStatus.NOT_FOUND)
    allowed = [method for method in match.routes if method != "HEAD"]
    if "GET" in allowed:
        allowed.insert(allowed.index("GET") + 1, "HEAD")
    elif "HEAD" in match.routes:
        allowed.append("HEAD")
    return Response(HTTPStatus.METHOD_NOT_ALLOWED, ((b"allow", ",".join(allowed).encode()),))


def _declared_bytes(head: RequestHead) -> int | None:
    """Return how long the body is, which the server has checked; a request that does not say has none."""
    if "transfer-encoding" in head.headers:
        return None
    return int(head.headers.get("content-length", "0"))
