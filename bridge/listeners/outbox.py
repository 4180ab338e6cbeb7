"""Messages on their way to one peer, bounded so that a peer that does not read harms nobody else."""

import asyncio
from collections import deque

__all__ = ["Outbox", "OutboxEndedError"]


class OutboxEndedError(Exception):
    """Everything was taken and nothing more will come."""


_PATIENCE_S = 5
"""How long who fills a crowded outbox waits without seeing a frame leave it."""


class Outbox:
    """Frames waiting to be written to one connection.

    Putting never blocks. When the bound is exceeded the outbox closes for good and forgets what waits: the
    peer is not reading, and its owner drops the connection. One that reads, but more slowly than others fill
    its outbox, needs them to wait when half of it is filled.

    Args:
        max_messages: How many frames may wait.
        max_bytes: How many bytes may wait; a single larger frame is taken when nothing else waits.
    """

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._has_room = asyncio.Event()
        self._taken = 0
        self._is_stalled = False
        self._closed = False

    def put(self, frame: bytes) -> bool:
        """Add a frame; answers whether there was room."""
        if self._closed:
            return False
        waiting = len(self._frames)
        if waiting >= self._max_messages or (waiting and self._bytes + len(frame) > self._max_bytes):
            self._frames.clear()
            self._bytes = 0
            self.end()
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        self._ready.set()
        return True

    def end(self) -> None:
        """Take no more frames; those that wait can still be got."""
        self._closed = True
        self._ready.set()
        self._has_room.set()

    @property
    def is_closed(self) -> bool:
        """Tell whether the outbox takes no more frames."""
        return self._closed

    @property
    def is_crowded(self) -> bool:
        """Tell whether half of the room is taken."""
        return len(self._frames) >= self._max_messages // 2 or self._bytes >= self._max_bytes // 2

    async def wait_for_room(self) -> None:
        """Wait until the outbox is no longer crowded; of one from which no frame leaves, not for long.

        Cancellation: safe.
        """
        while self.is_crowded and not self._is_stalled and not self._closed:
            taken = self._taken
            self._has_room.clear()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._has_room.wait()
            except TimeoutError:
                self._is_stalled = self._taken == taken

    async def get(self) -> bytes:
        """Take the oldest frame.

        Raises:
            OutboxEndedError: The outbox is closed and empty.

        Cancellation: safe; nothing is taken.
        Concurrency: one reader only.
        """
        while not self._frames:
            if self._closed:
                raise OutboxEndedError
            self._ready.clear()
            await self._ready.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        self._taken += 1
        if not self.is_crowded:
            self._is_stalled = False
            self._has_room.set()
        return frame

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)
