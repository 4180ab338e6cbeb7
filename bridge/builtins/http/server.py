"""The listening socket of the HTTP port and the connections it accepted."""

import asyncio
import errno
import ssl

from uvicorn import Config

from bridge.builtins.http.app import HttpApp
from bridge.builtins.http.connection import Connection, ConnectionLimits, Connections
from bridge.errors import ConfigError

__all__ = ["HttpServer"]

BACKLOG = 2048


class HttpServer:
    """Accepts clients and hands their requests to the application.

    Args:
        app: Serves the requests.
        limits: Bounds of the connections.
        keep_alive_timeout_s: How many whole seconds an idle connection is kept.
        tls: Encrypts the connections; `None` leaves them plain.
    """

    def __init__(
        self,
        app: HttpApp,
        limits: ConnectionLimits,
        *,
        keep_alive_timeout_s: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._config = Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive_timeout_s,
        )
        self._config.load()
        self._tls = tls
        self._state = Connections()
        self._all_lost = asyncio.Event()
        self._server: asyncio.Server | None = None

    def apply(self, limits: ConnectionLimits, *, keep_alive_timeout_s: int) -> None:
        """Bound the connections from now on by other limits; those that exist keep theirs."""
        self._limits = limits
        self._config.timeout_keep_alive = keep_alive_timeout_s

    async def start(self, host: str, port: int) -> int:
        """Begin to accept clients.

        Returns:
            The port, which differs from the one asked for when that was 0.

        Raises:
            ConfigError: The address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._new_connection,
                host,
                port,
                backlog=BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.head_timeout_s if self._tls else None,
            )
        except OSError as exc:
            reason = "is already in use" if exc.errno == errno.EADDRINUSE else f"cannot be bound: {exc}"
            raise ConfigError(
                f"{host}:{port} {reason}; free it, or set host and port of the HTTP worker"
            ) from exc
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connection_count(self) -> int:
        """How many clients are connected now."""
        return len(self._state.connections)

    async def close(self, deadline_s: float) -> None:
        """Stop accepting, hang up on idle clients, let running requests end; cut them at the deadline.

        Closing again does nothing.
        """
        if self._server is None:
            return
        self._server.close()
        for refused in list(self._state.refused):
            refused.transport.abort()
        for connection in list(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(deadline_s):
                await self._wait_until_all_are_lost()
        except TimeoutError:
            for connection in list(self._state.connections):
                connection.transport.abort()
            await self._wait_until_all_are_lost()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks))  # each ends with its connection
        self._server = None

    def _new_connection(self) -> Connection:
        return Connection(self._config, self._state, self._limits, self._connection_lost)

    def _connection_lost(self) -> None:
        if not self._state.connections:
            self._all_lost.set()

    async def _wait_until_all_are_lost(self) -> None:
        while self._state.connections:
            self._all_lost.clear()
            await self._all_lost.wait()
