"""Who is it that connects, and what may it do? Asked once for each connection (spec 05 §5.3)."""

import asyncio

import msgspec
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from bridge.engine.access import Access, AccessRules, Rights
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.errors import BridgeError, FunctionFailedError
from bridge.protocol import codec, payload
from bridge.protocol.inbound import ErrorBody
from bridge.protocol.outbound import HandshakeRefused
from bridge.protocol.upgrade import parse_query, visible_headers

__all__ = ["Handshake", "ip_address"]

log = structlog.get_logger("bridge.websocket")


class AuthInput(msgspec.Struct, frozen=True):
    """What the auth function is given.

    Attributes:
        headers: The upgrade request's headers, by lower-case name.
        query_params: The query's values as they came, not percent-decoded.
        ip_address: The peer's.
    """

    headers: dict[str, str]
    query_params: dict[str, list[str]]
    ip_address: str


_rights = msgspec.json.Decoder(Rights)


class Handshake:
    """Gives every connection of a listener its rights, or refuses it.

    Args:
        engine: Where the auth function is.
        rules: Of the listener.
        timeout_s: How long the auth function may take; a connection it says nothing of is refused.
    """

    def __init__(self, engine: Engine, rules: AccessRules, *, timeout_s: float) -> None:
        self._engine = engine
        self._rules = rules
        self._timeout_s = timeout_s

    def apply(self, rules: AccessRules) -> None:
        """Give connections from now on their rights by new rules."""
        if rules != self._rules:  # sessions under the same rules may replace each other's triggers
            self._rules = rules

    async def admit(self, connection: ServerConnection) -> Access | None:
        """Return what the session of a connection may do; `None` when it was told that it is refused.

        Cancellation: safe; the auth function keeps running.
        """
        auth_function_id = self._rules.auth_function_id
        if auth_function_id is None:
            return Access(self._rules)
        try:
            return Access(self._rules, await self._ask(auth_function_id, connection))
        except BridgeError as exc:
            log.warning("connection refused", ip_address=ip_address(connection), reason=str(exc))
            refusal = HandshakeRefused(ErrorBody("AUTH_ERROR", str(exc)))
            try:
                await connection.send(codec.encode(refusal), text=True)
                await connection.close()
            except ConnectionClosed:
                log.debug("refused connection lost")
            return None

    async def _ask(self, function_id: str, connection: ServerConnection) -> Rights:
        question = Call(function_id, payload.encode(_question_of(connection)))
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await self._engine.invoke(question)
        except TimeoutError as exc:
            text = f"auth function {function_id} did not answer within {self._timeout_s:g} s"
            raise FunctionFailedError("AUTH_ERROR", text) from exc
        result = outcome.unwrap()
        if not payload.is_present(result):
            raise FunctionFailedError("AUTH_ERROR", "auth function returned no result")
        try:
            return _rights.decode(result)
        except msgspec.MsgspecError as exc:
            raise FunctionFailedError("AUTH_ERROR", f"auth function returned no rights: {exc}") from exc


def _question_of(connection: ServerConnection) -> AuthInput:
    request = connection.request
    return AuthInput(
        headers=visible_headers(request.headers.raw_items()) if request else {},
        query_params=parse_query(request.path.partition("?")[2]) if request else {},
        ip_address=ip_address(connection) or "",
    )


def ip_address(connection: ServerConnection) -> str | None:
    """Return the peer's address; `None` when it has none, as on a Unix socket."""
    address = connection.remote_address
    return str(address[0]) if isinstance(address, tuple) else None
