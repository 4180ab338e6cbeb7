"""Messages on their way to one peer, bounded so that a peer that does not read harms nobody else."""

import asyncio
from collections import deque

__all__ = ["Outbox", "OutboxEndedError"]


class OutboxEndedError(Exception):
    """Everything was taken and nothing more will come."""


class Outbox:
    """Frames waiting to be written to one connection.

    Putting never blocks. When the bound is exceeded the outbox closes for good and forgets what waits: the
    peer is not reading, and its owner drops the connection.

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

    @property
    def is_closed(self) -> bool:
        """Tell whether the outbox takes no more frames."""
        return self._closed

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
        return frame

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)
