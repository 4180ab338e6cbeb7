"""One channel: a bounded queue with one writing and one reading end (spec 04 §6.3, §6.4). No sockets."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

__all__ = ["Channel", "ChannelReader", "ChannelRef", "ChannelWriter", "Direction", "Item"]

Item = str | bytes
"""A message: text stays text, binary stays binary."""

Direction = Literal["read", "write"]


class ChannelRef(msgspec.Struct, frozen=True):
    """What a payload carries of a channel; SDKs replace it with a live reader or writer (spec 04 §6.6)."""

    channel_id: str
    access_key: str
    direction: Direction


class Channel:
    """A queue of messages with two ends, each of which can be taken once.

    Bounded by messages and by bytes; when full, the writer waits. What was written stays readable after the
    writer left. Text counts one byte for each character.

    Args:
        channel_id: The id in the channel's references.
        access_key: The secret that opens either end.
        max_messages: How many messages may wait.
        max_bytes: How many bytes may wait; a single larger message is taken when nothing else waits.
        created_at_ms: Unix time.
        on_finished: Called once, when nothing can pass through the channel any more.
    """

    def __init__(
        self,
        channel_id: str,
        access_key: str,
        *,
        max_messages: int,
        max_bytes: int,
        created_at_ms: int,
        on_finished: Callable[["Channel"], None],
    ) -> None:
        self.id = channel_id
        self.access_key = access_key
        self.created_at_ms = created_at_ms
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._on_finished = on_finished
        self._items: deque[Item] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._abandoned = False
        self._writer_taken = False
        self._reader_taken = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    def ref(self, direction: Direction) -> ChannelRef:
        """Return the reference that a payload carries."""
        return ChannelRef(self.id, self.access_key, direction)

    def take_writer(self) -> "ChannelWriter | None":
        """Return the writing end, or `None` when somebody took it before."""
        if self._writer_taken:
            return None
        self._writer_taken = True
        return ChannelWriter(self)

    def take_reader(self) -> "ChannelReader | None":
        """Return the reading end, or `None` when somebody took it before."""
        if self._reader_taken:
            return None
        self._reader_taken = True
        return ChannelReader(self)

    @property
    def is_attached(self) -> bool:
        """Whether both ends have been taken."""
        return self._writer_taken and self._reader_taken

    def discard(self) -> None:
        """End the stream for whoever is attached, now: the reader sees the end, the writer a lost reader."""
        self._end()
        self._abandon()

    async def _put(self, item: Item) -> bool:
        while not self._abandoned and not self._has_room(len(item)):
            self._writable.clear()
            await self._writable.wait()
        if self._abandoned or self._ended:
            return False
        self._append(item)
        return True

    def _append(self, item: Item) -> None:
        self._items.append(item)
        self._waiting_bytes += len(item)
        self._readable.set()

    def _has_room(self, size_bytes: int) -> bool:
        if not self._items:
            return True
        fits = self._waiting_bytes + size_bytes <= self._max_bytes
        return fits and len(self._items) < self._max_messages

    @property
    def _is_ready(self) -> bool:
        return bool(self._items) or self._ended

    async def _wait(self) -> None:
        await self._readable.wait()
        if not self._is_ready:
            self._readable.clear()

    async def _get(self) -> Item | None:
        while not self._is_ready:
            self._readable.clear()
            await self._readable.wait()
        if not self._items:
            self._abandon()
            return None
        item = self._items.popleft()
        self._waiting_bytes -= len(item)
        self._writable.set()
        return item

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._readable.set()
            self._finish_if_over()

    def _abandon(self) -> None:
        if not self._abandoned:
            self._abandoned = True
            self._items.clear()
            self._waiting_bytes = 0
            self._writable.set()
            self._finish_if_over()

    def _finish_if_over(self) -> None:
        if self._ended and self._abandoned:
            self._on_finished(self)


class ChannelWriter:
    """The writing end. Concurrency: one user."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def put(self, item: Item) -> bool:
        """Add a message, waiting while the channel is full.

        Returns:
            Whether it was taken; `False` when the reader is gone, now or while waiting.

        Cancellation: safe; the message is not taken.
        """
        return await self._channel._put(item)  # noqa: SLF001 - an end is a view of its channel

    def load(self, items: Iterable[Item]) -> None:
        """Add messages whose bytes are in memory anyway, past the bounds of the channel."""
        for item in items:
            self._channel._append(item)  # noqa: SLF001 - an end is a view of its channel

    def close(self) -> None:
        """End the stream; what was written before stays readable. Closing again does nothing."""
        self._channel._end()  # noqa: SLF001 - an end is a view of its channel


class ChannelReader:
    """The reading end. Concurrency: one user."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def get(self) -> Item | None:
        """Take the oldest message; `None` is the end of the stream, now and ever after.

        Cancellation: safe; nothing is taken.
        """
        return await self._channel._get()  # noqa: SLF001 - an end is a view of its channel

    @property
    def is_ready(self) -> bool:
        """Whether `get` would return at once."""
        return self._channel._is_ready  # noqa: SLF001 - an end is a view of its channel

    async def wait(self) -> None:
        """Wait until `get` would return at once, or for `wake`.

        Cancellation: safe; nothing is taken.
        """
        await self._channel._wait()  # noqa: SLF001 - an end is a view of its channel

    def wake(self) -> None:
        """End a `wait`, the one that runs or the next: something else has happened."""
        self._channel._readable.set()  # noqa: SLF001 - an end is a view of its channel

    def close(self) -> None:
        """Leave: what waits is dropped and the writer learns it with its next message."""
        self._channel._abandon()  # noqa: SLF001 - an end is a view of its channel
