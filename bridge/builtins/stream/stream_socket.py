"""The stream socket, by default on port 3112 (spec 03 §3.5)."""

import asyncio
import errno
import re
import socket
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import msgspec
import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bridge.builtins.stream.auth import AuthInput, context_of
from bridge.builtins.stream.outlet import WRITE_BUFFER_BYTES, Outlet
from bridge.builtins.stream.session import Join, Membership, StreamSession
from bridge.engine.engine import Engine
from bridge.entrance import Entrance, refuse_upgrade
from bridge.errors import ConfigError
from bridge.protocol.payload import NULL
from bridge.protocol.upgrade import parse_query, visible_headers

__all__ = ["StreamSocket"]

log = structlog.get_logger("bridge.stream")

_HANDSHAKE_TIMEOUT_S = 10
_CLOSE_TIMEOUT_S = 1
_KEEPALIVE_IDLE_S = 60
_BACKLOG = 4096
"""How many connections the kernel may hold for us: after a restart all clients come back at once."""
_GROUP_PATH = re.compile(r"/stream/([^/]+)/([^/]+)/?")


class StreamSocket:
    """Accepts clients and moves frames between them and their sessions.

    Args:
        engine: Runs the auth function.
        membership: What every session needs.
        auth_function: Asked who a client is that connects; `None` asks nobody. It may be changed.
        max_waiting_frames: How many frames may wait for a client beyond what its socket takes.
        entrance: How clients get in.
    """

    def __init__(
        self,
        engine: Engine,
        membership: Membership,
        *,
        auth_function: str | None,
        max_waiting_frames: int,
        entrance: Entrance,
    ) -> None:
        self._engine = engine
        self._membership = membership
        self.auth_function = auth_function
        self._max_waiting_frames = max_waiting_frames
        self._entrance = entrance
        self._contexts: WeakKeyDictionary[ServerConnection, msgspec.Raw] = WeakKeyDictionary()
        self._handlers: set[asyncio.Task[Any]] = set()
        self._server: Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Begin to accept clients.

        Returns:
            The port, which differs from the one asked for when that was 0.

        Raises:
            ConfigError: The address cannot be bound.
        """
        try:
            self._server = await serve(
                self._handle,
                host,
                port,
                process_request=self._admit,
                compression=None,
                open_timeout=_HANDSHAKE_TIMEOUT_S,
                close_timeout=_CLOSE_TIMEOUT_S,
                ping_interval=None,
                write_limit=WRITE_BUFFER_BYTES,
                server_header=None,
                backlog=_BACKLOG,
                ssl=self._entrance.tls,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S if self._entrance.tls else None,
            )
        except OSError as exc:
            reason = "address already in use" if exc.errno == errno.EADDRINUSE else str(exc)
            raise ConfigError(
                f"The stream socket cannot listen on {host}:{port}: {reason}. "
                "Stop what holds the port, or set another `host` or `port` for iii-stream."
            ) from exc
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def connection_count(self) -> int:
        """How many clients are connected now."""
        return len(self._server.connections) if self._server else 0

    def disconnect_clients(self) -> None:
        """Cut off every client: each comes back, joins again and sees what it missed in a fresh `sync`."""
        for connection in list(self._server.connections) if self._server else ():
            connection.transport.abort()

    async def close(self) -> None:
        """Disconnect every client and stop; one that waits for a join trigger is not waited for long.

        Closing twice is harmless.
        """
        if self._server is None:
            return
        self._server.close()
        try:
            async with asyncio.timeout(2 * _CLOSE_TIMEOUT_S):
                await self._server.wait_closed()
        except TimeoutError:
            for handler in self._handlers:
                handler.cancel()
            await self._server.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        path, _, query = request.path.partition("?")
        if path != "/" and not _GROUP_PATH.fullmatch(path):
            return connection.respond(
                HTTPStatus.NOT_FOUND, "Connect to / and join, or to /stream/<stream>/<group>.\n"
            )
        if refusal := refuse_upgrade(self._entrance, connection, request):
            return refusal
        if self.auth_function is not None:
            auth_input = AuthInput(
                visible_headers(request.headers.raw_items()), path, parse_query(query), _address(connection)
            )
            self._contexts[connection] = await context_of(self._engine, self.auth_function, auth_input)
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        request, handler = connection.request, asyncio.current_task()
        if request is None or handler is None:
            return
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        _notice_vanished_peer(connection)
        outlet = Outlet(connection, max_frames=self._max_waiting_frames)
        session = StreamSession(self._membership, outlet.send, self._contexts.get(connection, NULL))
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(outlet.write_waiting(), name=f"stream writer {connection.id}")
            try:
                if named := _GROUP_PATH.fullmatch(request.path.partition("?")[0]):
                    await session.join(Join(self._engine.new_id(), unquote(named[1]), unquote(named[2])))
                await _read(connection, session)
            finally:
                session.close()
                writer.cancel()


async def _read(connection: ServerConnection, session: StreamSession) -> None:
    try:
        async for frame in connection:
            await session.receive(frame)
    except ConnectionClosed as exc:
        log.debug("stream client lost", connection_id=str(connection.id), reason=str(exc))


def _notice_vanished_peer(connection: ServerConnection) -> None:
    """Have the kernel probe an idle peer: iii sends no pings, and one that vanished would stay for ever."""
    peer: socket.socket = connection.transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not on every platform; the system's own interval serves there
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)


def _address(connection: ServerConnection) -> str:
    host, port = connection.remote_address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
