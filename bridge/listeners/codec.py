"""The codec endpoint: Temporal's Web UI and command line have it decode what only the bridge can read.

It speaks Temporal's protocol for remote codecs: `POST …/encode` and `…/decode`, payloads as JSON.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import structlog
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bridge.entrance import CHALLENGE, UNAUTHORIZED, Entrance
from bridge.errors import BridgeError, ConfigError

__all__ = ["CodecServer"]

log = structlog.get_logger("bridge.codec")

_BODY_LIMIT_BYTES = 64 * 1024 * 1024
_HANDSHAKE_TIMEOUT_S = 5
_CLOSE_TIMEOUT_S = 2

Convert = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


class CodecServer:
    """Encodes and decodes for those whom it trusts.

    Args:
        encode: Returns payloads as Temporal is to keep them.
        decode: Returns payloads as they were.
        entrance: How clients get in; a preflight request of a browser needs no token.
        origins: The web pages that may ask, for example `http://127.0.0.1:8233`.
    """

    def __init__(self, encode: Convert, decode: Convert, entrance: Entrance, origins: Sequence[str]) -> None:
        self._convert = {"encode": encode, "decode": decode}
        self._entrance = entrance
        app = Starlette(
            routes=[
                Route("/{at:path}encode", self._encode, methods=["POST"]),
                Route("/{at:path}decode", self._decode, methods=["POST"]),
            ],
            middleware=[
                Middleware(
                    CORSMiddleware,
                    allow_origins=list(origins),
                    allow_methods=["POST"],
                    allow_headers=["content-type", "x-namespace", "authorization"],
                    allow_credentials=True,
                )
            ],
        )
        self._config = Config(
            app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Begin to answer.

        Returns:
            The port, which differs from the one asked for when that was 0.

        Raises:
            ConfigError: The address cannot be bound.
        """
        tls: ssl.SSLContext | None = self._entrance.tls
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: HttpToolsProtocol(self._config, self._state, {}),
                host,
                port,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S if tls else None,
            )
        except OSError as exc:
            raise ConfigError(
                f"iii-temporal.codec_endpoint.port: {host}:{port} is in use or cannot be bound "
                f"({exc.strerror}). Stop what listens there, or choose another port."
            ) from exc
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop to answer, after what is being answered. Closing again does nothing."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=_CLOSE_TIMEOUT_S)

    async def _encode(self, request: Request) -> Response:
        return await self._answer(request, self._convert["encode"])

    async def _decode(self, request: Request) -> Response:
        return await self._answer(request, self._convert["decode"])

    async def _answer(self, request: Request, convert: Convert) -> Response:
        if not self._entrance.admits(request.headers.getlist("authorization")):
            refusal = _refused(HTTPStatus.UNAUTHORIZED, UNAUTHORIZED)
            refusal.headers[CHALLENGE[0]] = CHALLENGE[1]
            return refusal
        body = await _body(request)
        if body is None:
            return _refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request may have {_BODY_LIMIT_BYTES} bytes"
            )
        try:
            payloads = Parse(body, Payloads()).payloads
        except (ParseError, UnicodeDecodeError) as exc:
            return _refused(HTTPStatus.BAD_REQUEST, f'not `{{"payloads": […]}}`: {exc}')
        try:
            converted = await convert(payloads)
        except BridgeError as exc:
            return _refused(HTTPStatus.BAD_REQUEST, str(exc))
        return Response(MessageToJson(Payloads(payloads=converted)), media_type="application/json")


async def _body(request: Request) -> bytes | None:
    """Read a request's body; `None` when it is too large."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_LIMIT_BYTES:
                return None
    except ClientDisconnect:
        return b""
    return bytes(body)


def _refused(status: HTTPStatus, why: str) -> JSONResponse:
    log.warning("codec request refused", status=status.value, reason=why[:200])
    return JSONResponse({"error": why}, status_code=status.value)
