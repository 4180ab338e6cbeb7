"""One connection to Redis: commands that pile up while it is busy travel together, in order."""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol, Self, TypeAlias

from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from bridge.errors import StorageError

__all__ = ["MAX_PENDING", "RedisConnection", "RedisLink", "open_connection"]

Word: TypeAlias = str | bytes | int
"""A part of a command."""

_CONNECT_TIMEOUT_S: Final = 5.0
_ANSWER_TIMEOUT_S: Final = 5.0
MAX_PENDING: Final = 1024
"""Commands that may wait or run at once; further callers wait until there is room."""

# A server whose machine has vanished is noticed after 30 s of silence, although we have nothing to ask it.
_KEEPALIVE: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class RedisConnection(Protocol):
    """What we use of redis-py's connections, most of which has no types there."""

    @property
    def is_connected(self) -> bool:
        """Whether it has not been disconnected on this side."""

    async def connect(self) -> None:
        """Connect and log in, unless connected."""

    async def disconnect(self, *, nowait: bool) -> None:
        """Close it; it can connect again."""

    async def can_read(self) -> bool:
        """Tell whether something has arrived, be it the end of the connection."""

    async def read_response(self) -> Any:
        """Return the next reply; raises ResponseError if that is one."""

    async def send_command(self, *words: Word) -> None:
        """Send one command."""

    async def send_packed_command(self, command: Iterable[bytes]) -> None:
        """Send what `pack_command` returned, for any number of commands."""

    def pack_command(self, *words: Word) -> list[bytes]:
        """Return a command as the bytes that go over the wire."""


def open_connection(url: str, *, answer_timeout_s: float | None) -> RedisConnection:
    """Return a connection that is not connected yet and never repeats a command by itself.

    A command that was repeated after its connection was lost might be done twice.
    """
    options: dict[str, Any] = {}
    if not url.startswith("unix:"):
        options = {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    pool = ConnectionPool.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=answer_timeout_s,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        **options,
    )
    connection: RedisConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def _server_address(url: str) -> str:
    """Return where a URL leads, without user and password."""
    parts = parse_url(url)
    return parts.get("path") or f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}"


def _unusable(address: str, cause: BaseException) -> StorageError:
    return StorageError(
        f"Redis at {address} cannot be used: {cause}. Check that it runs and is reachable; "
        "the bridge connects again with the next call"
    )


@dataclass(frozen=True, slots=True)
class _Command:
    packed: Sequence[bytes]
    answer: asyncio.Future[Any]

    def succeed(self, reply: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(reply)

    def fail(self, error: StorageError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class RedisLink:
    """Sends commands in the order in which they were handed in, and connects again when it has to.

    When the connection is lost, the commands on it fail; each may or may not have been done.
    """

    def __init__(self, connection: RedisConnection, address: str, *, max_pending: int) -> None:
        self._connection = connection
        self._address = address
        # Bounds what is waiting or under way; who finds no room waits here, in order of arrival.
        self._room = asyncio.Semaphore(max_pending)
        self._waiting: list[_Command] = []
        self._is_wanted = asyncio.Event()
        self._is_closing = False
        self._sender = asyncio.create_task(self._send_batches(), name=f"redis commands {address}")

    @classmethod
    async def connect(cls, url: str, *, max_pending: int = MAX_PENDING) -> Self:
        """Connect to the server.

        Raises:
            StorageError: It cannot be reached, or refuses the user, the password or the database.
        """
        connection = open_connection(url, answer_timeout_s=_ANSWER_TIMEOUT_S)
        address = _server_address(url)
        try:
            await connection.connect()
        except (RedisError, OSError) as exc:
            raise _unusable(address, exc) from exc
        return cls(connection, address, max_pending=max_pending)

    async def execute(self, *words: Word) -> Any:
        """Do one command and return its reply; text comes as bytes.

        Raises:
            StorageError: The connection was lost, the server refused the command, or the link is closed.

        Cancellation: safe; the command may still be done.
        """
        async with self._room:
            if self._is_closing:
                raise StorageError("the store is closed; the bridge is shutting down")
            packed = self._connection.pack_command(*words)
            command = _Command(packed, asyncio.get_running_loop().create_future())
            self._waiting.append(command)
            self._is_wanted.set()
            return await command.answer

    async def close(self) -> None:
        """Finish the commands that found room, then disconnect. Closing twice is harmless."""
        self._is_closing = True
        self._is_wanted.set()
        await asyncio.shield(self._sender)

    async def _send_batches(self) -> None:
        try:
            while self._waiting or not self._is_closing:
                await self._is_wanted.wait()
                self._is_wanted.clear()
                batch, self._waiting = self._waiting, []
                if batch:
                    await self._exchange(batch)
        finally:
            self._is_closing = True
            await self._connection.disconnect(nowait=True)

    async def _exchange(self, batch: Sequence[_Command]) -> None:
        try:
            await self._connect_if_lost()
            await self._connection.send_packed_command(chain.from_iterable(each.packed for each in batch))
            for command in batch:
                await self._receive(command)
        except (RedisError, OSError) as exc:
            await self._connection.disconnect(nowait=True)
            self._fail(batch, exc)
        except BaseException as exc:
            self._fail([*batch, *self._waiting], exc)  # nobody waits for what will never come
            raise

    def _fail(self, commands: Iterable[_Command], cause: BaseException) -> None:
        for command in commands:
            command.fail(_unusable(self._address, cause))

    async def _connect_if_lost(self) -> None:
        # Nothing is owed to us here: what can be read is the end of the connection.
        if self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect(nowait=True)
        await self._connection.connect()

    async def _receive(self, command: _Command) -> None:
        try:
            command.succeed(await self._connection.read_response())
        except ResponseError as exc:
            command.fail(StorageError(f"Redis at {self._address} refused a command: {exc}"))
