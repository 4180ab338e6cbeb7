"""The channel sockets on the worker port: `/ws/channels/{id}?key=…&dir=read|write` (spec 04 §6.2 to §6.5)."""

import asyncio
import socket
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qs, unquote

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

__all__ = ["CHANNEL_PATH_PREFIX", "ChannelSocket"]

log = structlog.get_logger("bridge.channels")

CHANNEL_PATH_PREFIX = "/ws/channels/"

_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""A dead peer is found after two minutes; the system's own default is two hours."""


class Writer(Protocol):
    """The writing end of a channel."""

    async def put(self, item: str | bytes) -> bool:
        """Add a message; answers whether the reader is still there."""

    def close(self) -> None:
        """End the stream."""


class Reader(Protocol):
    """The reading end of a channel."""

    async def get(self) -> str | bytes | None:
        """Take a message; `None` is the end."""

    def close(self) -> None:
        """Leave."""


class Channel(Protocol):
    """A channel whose ends can each be taken once."""

    def take_writer(self) -> Writer | None:
        """Return the writing end, if it is free."""

    def take_reader(self) -> Reader | None:
        """Return the reading end, if it is free."""


class Channels(Protocol):
    """Where channels are found."""

    def find(self, channel_id: str, access_key: str) -> Channel | None:
        """Return a channel; `None` when the id is unknown or the key wrong."""


class ChannelSocket:
    """Connects sockets with the ends of channels.

    Messages pass one to one. A full channel stops the reading of the writer's socket, so that the writer
    feels it; a reader that does not read fills the channel.

    Args:
        channels: Where channels are found.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the answer that refuses the upgrade, or `None` when it may go on."""
        if request.method != "GET":
            refusal = connection.respond(HTTPStatus.METHOD_NOT_ALLOWED, "")
            refusal.headers["Allow"] = "GET"
            return refusal
        query = parse_qs(request.path.partition("?")[2])
        if "key" not in query or query.get("dir", [""])[-1] not in ("read", "write"):
            return connection.respond(
                HTTPStatus.BAD_REQUEST, "The query must have key, and dir as read or write"
            )
        if [value.lower() for value in request.headers.get_all("Upgrade")] != ["websocket"]:
            return connection.respond(HTTPStatus.BAD_REQUEST, "Channels are opened by WebSocket")
        if self._find(request) is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "Channel not found")
        return None

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one socket until its end of the channel is done.

        Cancellation: safe; the other end sees the stream end or its reader leave.
        """
        request = connection.request
        if request is None or (channel := self._find(request)) is None:
            return
        _watch_the_peer_by_tcp(connection)
        try:
            if parse_qs(request.path.partition("?")[2])["dir"][-1] == "write":
                await _serve_writer(connection, channel.take_writer())
            else:
                await _serve_reader(connection, channel.take_reader())
        except ConnectionClosed as exc:
            log.debug("channel connection lost", reason=str(exc))

    def _find(self, request: Request) -> Channel | None:
        path, _, query = request.path.partition("?")
        keys = parse_qs(query).get("key")
        return (
            self._channels.find(unquote(path.removeprefix(CHANNEL_PATH_PREFIX)), keys[-1]) if keys else None
        )


async def _serve_writer(connection: ServerConnection, writer: Writer | None) -> None:
    if writer is None:
        return
    try:
        async for message in connection:
            if not await writer.put(message):
                connection.transport.abort()
                return
    finally:
        writer.close()


async def _serve_reader(connection: ServerConnection, reader: Reader | None) -> None:
    if reader is None:
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            forwarder = tasks.create_task(_forward(connection, reader), name="channel forwarder")
            # What a reader sends means nothing, but reading it answers its pings and notices that it left.
            async for _ in connection:
                pass
            forwarder.cancel()
    except* ConnectionClosed:
        pass
    finally:
        reader.close()


async def _forward(connection: ServerConnection, reader: Reader) -> None:
    while (message := await reader.get()) is not None:
        await connection.send(message)
    await connection.close()


def _watch_the_peer_by_tcp(connection: ServerConnection) -> None:
    """Leave it to TCP to find a dead peer: while a full channel stops the reading, no pong can be seen."""
    connection.ping_timeout = None
    sock = connection.transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE.items():
        if hasattr(socket, option):  # not every system knows all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
