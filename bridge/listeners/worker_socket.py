"""The worker socket, by default on port 49134 (spec 01 §1).

`/` serves workers, `/otel` telemetry, `/ws/channels/{id}` the ends of channels.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bridge.engine.access import OPEN, Access, AccessRules
from bridge.engine.backlog import Backlog, BacklogLimits
from bridge.engine.engine import Engine
from bridge.engine.session import WorkerSession
from bridge.engine.workers import Worker
from bridge.entrance import OPEN_ENTRANCE, Entrance, refuse_upgrade
from bridge.ids import new_uuid
from bridge.listeners.channel_socket import CHANNEL_PATH_PREFIX, ChannelSocket
from bridge.listeners.handshake import Handshake, ip_address
from bridge.listeners.outbox import Outbox, OutboxEndedError
from bridge.listeners.peer_connection import PeerConnection
from bridge.listeners.pressure import Pressure, note_pressure
from bridge.protocol import codec
from bridge.protocol.outbound import CallFunction, OutboundMessage, TriggerBound, TriggerUnbound

__all__ = ["SocketLimits", "WorkerSocket"]

log = structlog.get_logger("bridge.websocket")

SERVICE_RESTART = 1012
"""A close code after which every SDK version reconnects (spec 01 §1.6)."""

BACKLOG = 4096
"""How many connections may wait to be accepted: after a restart every worker comes back at once."""

FAIR_SHARE = 16
"""How many frames of one peer are taken before the others have their turn."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds of one connection.

    Attributes:
        message_bytes: The largest frame taken; a larger one ends the connection.
        outbox_messages: How many calls may wait for a peer that does not read.
        outbox_bytes: How many bytes of calls, and how many of answers, may wait for it.
        outbox_patience_s: How long the connection of who fills the outbox of a peer is not read while that
            peer takes nothing. Far less than the 20 s after which SDKs take the bridge for dead, because
            their pings wait as well.
        handshake_timeout_s: How long the upgrade may take, and then the auth function.
        ping_interval_s: How often a quiet peer is pinged.
        ping_timeout_s: After how long without an answer, or without taking anything of what waits for it, a
            peer counts as gone.
        close_timeout_s: How long a peer may take to answer a close frame before it is dropped.
        namespace_grace_s: How long registrations wait for the worker to name its namespace (spec 01 §3.3).
        backlog: How much the bridge itself does for it at a time.
    """

    message_bytes: int = 64 * 1024 * 1024
    outbox_messages: int = 10_000
    outbox_bytes: int = 128 * 1024 * 1024
    outbox_patience_s: float = 5
    handshake_timeout_s: float = 10
    ping_interval_s: float = 20
    ping_timeout_s: float = 20
    close_timeout_s: float = 1
    namespace_grace_s: float = 5
    backlog: BacklogLimits = field(default_factory=BacklogLimits)


class WorkerSocket:
    """Accepts workers and moves frames between them and their sessions.

    Args:
        engine: Where the workers' calls go.
        limits: Bounds of each connection.
        on_telemetry: Takes each binary telemetry frame (spec 01 §1.8).
        channels: Serves the channel sockets.
        rules: What its sessions may do.
        entrance: How workers get in. The ends of channels have keys of their own, and most SDKs send no token
            there.
    """

    def __init__(
        self,
        engine: Engine,
        limits: SocketLimits,
        on_telemetry: Callable[[bytes], None] = lambda _: None,
        channels: ChannelSocket | None = None,
        rules: AccessRules = OPEN.rules,
        entrance: Entrance = OPEN_ENTRANCE,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._on_telemetry = on_telemetry
        self._channels = channels
        self._entrance = entrance
        self._handshake = Handshake(engine, rules, timeout_s=limits.handshake_timeout_s)
        self._server: Server | None = None
        self._routes: dict[str, Callable[[ServerConnection, Access], Awaitable[None]]] = {
            "/": self._serve_worker,
            "/otel": self._serve_telemetry,
        }

    async def start(self, host: str, port: int) -> int:
        """Begin to accept workers.

        Returns:
            The port, which differs from the one asked for when that was 0.

        Raises:
            OSError: The address cannot be bound.
        """
        self._server = await serve(
            self._handle,
            host,
            port,
            backlog=BACKLOG,
            process_request=self._route,
            create_connection=PeerConnection,
            compression=None,
            max_size=self._limits.message_bytes,
            open_timeout=self._limits.handshake_timeout_s,
            ping_interval=self._limits.ping_interval_s,
            ping_timeout=self._limits.ping_timeout_s,
            close_timeout=self._limits.close_timeout_s,
            server_header=None,
            ssl=self._entrance.tls,
            ssl_handshake_timeout=self._limits.handshake_timeout_s if self._entrance.tls else None,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    def apply(self, rules: AccessRules) -> None:
        """Change the rules while running; they hold for connections that are made from now on."""
        self._handshake.apply(rules)

    @property
    def connection_count(self) -> int:
        """How many connections are open now: workers, telemetry and ends of channels."""
        return len(self._server.connections) if self._server else 0

    async def stop_accepting(self) -> None:
        """Close the listening socket; connected workers stay."""
        if self._server is not None:
            self._server.close(close_connections=False)

    async def disconnect_all(self) -> None:
        """Close every connection in the way after which all SDK versions come back.

        Cancellation: safe; what is still open then stays open.
        """
        if self._server is None:
            return
        async with asyncio.TaskGroup() as tasks:
            for connection in list(self._server.connections):
                tasks.create_task(connection.close(SERVICE_RESTART), name="close worker")

    def _route(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path in self._routes:
            return refuse_upgrade(self._entrance, connection, request)
        if self._channels is not None and path.startswith(CHANNEL_PATH_PREFIX):
            return self._channels.check(connection, request)
        return connection.respond(HTTPStatus.NOT_FOUND, "")

    async def _handle(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            return
        path = request.path.partition("?")[0]
        if self._channels is not None and path.startswith(CHANNEL_PATH_PREFIX):
            await self._channels.serve(connection)
        elif (access := await self._handshake.admit(connection)) is not None:
            await self._routes[path](connection, access)

    async def _serve_worker(self, connection: ServerConnection, access: Access) -> None:
        outbox = Outbox(
            max_messages=self._limits.outbox_messages,
            max_bytes=self._limits.outbox_bytes,
            patience_s=self._limits.outbox_patience_s,
            on_full=lambda: log.warning("calls refused: too many wait for the worker", worker_id=worker.id),
        )

        def send(message: OutboundMessage) -> None:
            frame = codec.encode(message)
            if isinstance(message, CallFunction | TriggerBound | TriggerUnbound):
                outbox.put_call(frame)
                note_pressure(outbox, len(frame))
            elif not outbox.is_closed and not outbox.put(frame):
                log.warning("worker dropped: it does not read what it asked for", worker_id=worker.id)
                connection.transport.abort()

        pressure = Pressure()
        pressure.begin()
        worker = Worker(
            id=new_uuid(),
            send=send,
            abort=connection.transport.abort,
            reattach_token=new_uuid(),
            connected_at_ms=time.time_ns() // 1_000_000,
            ip_address=ip_address(connection),
            access=access,
            user_agent=_user_agent(connection),
            close=outbox.end,
            has_room=lambda: not outbox.is_full,
            backlog=Backlog(self._limits.backlog),
        )
        try:
            async with asyncio.TaskGroup() as tasks:

                def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
                    tasks.create_task(work, name=name)

                session = WorkerSession(self._engine, worker, spawn)
                session.open()
                grace = asyncio.get_running_loop().call_later(
                    self._limits.namespace_grace_s, session.settle_namespace
                )
                writer = tasks.create_task(_write(connection, outbox), name=f"writer {worker.id}")
                try:
                    await self._read(connection, session, worker, pressure)
                finally:
                    grace.cancel()
                    session.close()
                    outbox.abandon()
                    writer.cancel()
        except* ConnectionClosed:
            pass

    async def _read(
        self, connection: ServerConnection, session: WorkerSession, worker: Worker, pressure: Pressure
    ) -> None:
        async for frame in _frames(connection):
            if isinstance(frame, bytes) and frame[:4] in codec.TELEMETRY_PREFIXES:
                self._on_telemetry(frame)
            else:
                session.receive(frame)
            if worker.backlog.is_full and not await worker.backlog.wait_for_room():
                log.warning("calls refused: too many are in progress", worker_id=worker.id)
            if pressure.is_high:
                await pressure.relieve()

    async def _serve_telemetry(self, connection: ServerConnection, _: Access) -> None:
        async for frame in _frames(connection):
            if isinstance(frame, bytes):
                self._on_telemetry(frame)


async def _frames(connection: ServerConnection) -> AsyncIterator[str | bytes]:
    """Yield the frames of a connection until it is lost, and let others have their turn in between."""
    taken = 0
    try:
        async for frame in connection:
            yield frame
            taken += 1
            if taken % FAIR_SHARE == 0:
                await asyncio.sleep(0)  # frames that came in one piece are read without a pause
    except ConnectionClosed as exc:
        log.debug("connection lost", reason=str(exc))


async def _write(connection: ServerConnection, outbox: Outbox) -> None:
    try:
        while True:
            await connection.send(await outbox.get(), text=True)
    except OutboxEndedError:
        await connection.close()


def _user_agent(connection: ServerConnection) -> str | None:
    return connection.request.headers.get("User-Agent") if connection.request else None
