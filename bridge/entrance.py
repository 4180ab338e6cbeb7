"""How clients get into a listener: encrypted or not, and with which bearer tokens."""

import hmac
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

__all__ = ["CHALLENGE", "OPEN_ENTRANCE", "UNAUTHORIZED", "Entrance", "refuse_upgrade"]

log = structlog.get_logger("bridge.entrance")

CHALLENGE = ("WWW-Authenticate", "Bearer")
"""The header of every refusal (RFC 6750 §3)."""

UNAUTHORIZED = (
    "This listener demands the header 'Authorization: Bearer <token>' with one of the `tokens` of its "
    "configuration. SDKs send it if III_TOKEN is set, or if the header is among the headers of their options."
)


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a listener demands of everyone who connects.

    Attributes:
        tls: Encrypts the connections; `None` leaves them plain.
        tokens: Each of them lets a client in; none lets everyone in.
    """

    tls: ssl.SSLContext | None = None
    tokens: tuple[str, ...] = field(default=(), repr=False)

    def admits(self, authorization: Sequence[str]) -> bool:
        """Tell whether a request may go on; how long that takes says nothing about the tokens.

        Args:
            authorization: The values of its `Authorization` headers.
        """
        if not self.tokens:
            return True
        if len(authorization) != 1:
            return False
        scheme, _, given = authorization[0].partition(" ")
        found = [hmac.compare_digest(_bytes(given.strip()), _bytes(token)) for token in self.tokens]
        return any(found) and scheme.lower() == "bearer"

    def url(self, scheme: str, host: str, port: int) -> str:
        """Write the listener's address; `scheme` is that of plain connections, `ws` or `http`."""
        return f"{scheme}{'s' if self.tls else ''}://{host}:{port}"


OPEN_ENTRANCE = Entrance()
"""Plain, and for everyone who reaches the port."""


def refuse_upgrade(entrance: Entrance, connection: ServerConnection, request: Request) -> Response | None:
    """Return the answer that refuses a WebSocket, or `None` when it may be opened."""
    if entrance.admits(request.headers.get_all("Authorization")):
        return None
    log.warning("connection refused: no valid bearer token", peer=connection.remote_address)
    response = connection.respond(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED + "\n")
    response.headers[CHALLENGE[0]] = CHALLENGE[1]
    return response


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
