"""The built-in worker `iii-http-functions`: makes a function of a URL (spec 04 §7)."""

import asyncio
import ssl
from collections.abc import Callable, Mapping

import httpcore
import msgspec

from bridge.builtins.http_functions.guard import Resolve, UrlGuard, resolve
from bridge.builtins.http_functions.invocation import (
    Invocation,
    Secrets,
    decode_invocation,
    request_headers,
)
from bridge.builtins.http_functions.network import GuardedNetwork
from bridge.builtins.http_functions.reply import result_of
from bridge.builtins.http_functions.settings import HttpFunctionsSettings
from bridge.engine.calls import Call
from bridge.engine.functions import BuiltinHandler
from bridge.errors import FunctionFailedError
from bridge.protocol.inbound import RegisterFunction

__all__ = ["HttpFunctions"]

MAX_CONNECTIONS = 1024
MAX_IDLE_CONNECTIONS = 256
IDLE_LIFETIME_S = 90
REPLY_LIMIT_BYTES = 64 * 1024 * 1024
"""No worker takes a larger message (spec 01 §1.5)."""

_TRANSPORT_ERRORS = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


class HttpFunctions:
    """Calls functions behind URLs. Redirects are not followed and nothing is tried twice.

    Args:
        settings: What may be reached.
        environ: Where secrets are read, at registration.
        new_id: Makes fresh UUIDs.
        now_s: Unix time.
        lookup: Finds the addresses of a host.
        ssl_context: How TLS peers are verified; by default with the system's certificates.

    Raises:
        ConfigError: The allow list is malformed.
    """

    def __init__(
        self,
        settings: HttpFunctionsSettings,
        *,
        environ: Mapping[str, str],
        new_id: Callable[[], str],
        now_s: Callable[[], float],
        lookup: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = UrlGuard(settings, lookup)
        self._environ = environ
        self._new_id = new_id
        self._now_s = now_s
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or ssl.create_default_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_LIFETIME_S,
            network_backend=GuardedNetwork(self._guard),
        )

    def apply(self, settings: HttpFunctionsSettings) -> None:
        """Change what may be reached: by functions registered and by connections made from now on.

        Raises:
            ConfigError: The allow list is malformed; nothing has changed.
        """
        self._guard.apply(settings)

    def offer(self, message: RegisterFunction) -> BuiltinHandler:
        """Return what runs the calls of a function registered with an `invocation`.

        Raises:
            InvalidInputError: The invocation does not have the documented shape.
            FunctionFailedError: The URL is refused, or a secret is not in the environment.
        """
        invocation = decode_invocation(message.invocation)
        self._guard.check(invocation.url)
        secrets = Secrets(invocation.auth, self._environ)

        async def run(call: Call) -> msgspec.Raw:
            return await self._call(message.id, invocation, secrets, call)

        return run

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _call(
        self, function_id: str, invocation: Invocation, secrets: Secrets, call: Call
    ) -> msgspec.Raw:
        body = msgspec.json.format(bytes(call.data), indent=-1)
        headers = request_headers(
            function_id,
            invocation,
            secrets,
            invocation_id=self._new_id(),
            timestamp=str(int(self._now_s())),
            body=body,
        )
        try:
            async with asyncio.timeout(invocation.timeout_s):
                status, reply = await self._exchange(invocation, headers, body)
        except TimeoutError as exc:
            raise FunctionFailedError(
                "http_request_failed",
                f"{invocation.url} timed out after {invocation.timeout_s:g} s (timeout_ms of its invocation)",
            ) from exc
        return result_of(status, reply)

    async def _exchange(
        self, invocation: Invocation, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, bytes]:
        try:
            async with self._pool.stream(
                invocation.method, invocation.url, headers=headers, content=body
            ) as response:
                return response.status, await _read(response)
        except _TRANSPORT_ERRORS as exc:
            what = "failed to connect to" if isinstance(exc, httpcore.ConnectError) else "failed calling"
            raise FunctionFailedError(
                "http_request_failed", f"{what} {invocation.url}: {_cause(exc)}"
            ) from exc


async def _read(response: httpcore.Response) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in response.aiter_stream():
            size_bytes += len(chunk)
            if size_bytes > REPLY_LIMIT_BYTES:
                raise FunctionFailedError(
                    "http_response_failed", f"The reply is larger than {REPLY_LIMIT_BYTES} bytes"
                )
            chunks.append(chunk)
    except _TRANSPORT_ERRORS as exc:
        raise FunctionFailedError(
            "http_response_failed", f"The reply broke off after {size_bytes} bytes: {_cause(exc)}"
        ) from exc
    return b"".join(chunks)


def _cause(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
