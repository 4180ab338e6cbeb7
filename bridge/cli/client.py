"""A bridge's functions, called from the command line over the socket that workers use (spec 01)."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from bridge.engine.workers import REGISTER_WORKER
from bridge.errors import EngineError, FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.inbound import Enqueue, InvokeFunction, Void
from bridge.protocol.outbound import CallResult, OutboundMessage

__all__ = ["BridgeClient", "connected"]

_decoder: msgspec.json.Decoder[OutboundMessage] = msgspec.json.Decoder(OutboundMessage)


class _Call(InvokeFunction, frozen=True, omit_defaults=True, tag="invokefunction"):
    """The frame as a worker writes it: what is absent is left out."""


@asynccontextmanager
async def connected(url: str, *, name: str) -> AsyncIterator["BridgeClient"]:
    """Connect to a bridge as a worker that offers nothing, with the token of `III_TOKEN` if there is one.

    Args:
        url: The bridge's worker socket.
        name: How the worker is listed.

    Raises:
        EngineError: There is no bridge, or the connection broke. The text names the cause.
    """
    try:
        socket = await connect(
            url, compression=None, max_size=None, proxy=None, additional_headers=_authorization()
        )
        try:
            client = BridgeClient(socket)
            await client.introduce(name)
            yield client
        finally:
            await socket.close()  # an orderly end, also when the caller has failed
    except InvalidStatus as exc:
        if exc.response.status_code != HTTPStatus.UNAUTHORIZED:
            raise EngineError(f"{url} is no worker socket of a bridge: it answered {exc}.") from exc
        raise EngineError(
            f"{url} demands a token and did not take the one it got, if any. "
            "Set III_TOKEN to one of the `tokens` of that listener."
        ) from exc
    except (OSError, WebSocketException) as exc:
        raise EngineError(
            f"WebSocket error: {str(exc) or type(exc).__name__} ({url}). Is a bridge running there?"
        ) from exc


def _authorization() -> dict[str, str]:
    token = os.environ.get("III_TOKEN", "").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


class BridgeClient:
    """One connection to a bridge.

    Concurrency: one call at a time.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def introduce(self, name: str) -> None:
        """Say who is calling. The runtime is none of the SDKs', whose known limits do not apply here."""
        about = {"runtime": "cli", "version": version("iii-temporal"), "name": name, "pid": os.getpid()}
        await self._send(_Call(REGISTER_WORKER, payload.encode(about), action=Void()))

    async def call(
        self,
        function_id: str,
        data: msgspec.Raw,
        *,
        action: Void | Enqueue | None = None,
        namespace: str | None = None,
    ) -> msgspec.Raw:
        """Call a function and return its result; `null` when it has none, or when none is waited for.

        Args:
            function_id: The function.
            data: Its payload.
            action: `Void` does not wait for a result; `Enqueue` waits for the receipt only.
            namespace: Where the function is, if not where the bridge finds it by itself.

        Raises:
            FunctionFailedError: The function, or the bridge in its place, answered with an error.
        """
        call = _Call(
            function_id,
            data,
            invocation_id=None if isinstance(action, Void) else str(uuid.uuid4()),
            action=action,
            namespace=namespace,
        )
        await self._send(call)
        return payload.NULL if call.invocation_id is None else await self._result(call.invocation_id)

    async def _send(self, call: _Call) -> None:
        await self._socket.send(msgspec.json.encode(call), text=True)

    async def _result(self, invocation_id: str) -> msgspec.Raw:
        while True:
            message = _decoder.decode(await self._socket.recv())
            if isinstance(message, CallResult) and message.invocation_id == invocation_id:
                break
        if message.error is not None:
            raise FunctionFailedError(message.error.code, message.error.message, message.error.stacktrace)
        return message.result if payload.is_present(message.result) else payload.NULL
