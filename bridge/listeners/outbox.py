"""Messages on their way to one peer, bounded so that a peer that does not read harms nobody else."""

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["Outbox", "OutboxEndedError"]


class OutboxEndedError(Exception):
    """Everything was taken and nothing more will come."""


_SMALLEST_FRAME_BYTES = 128
"""What even the smallest frame takes while it waits."""


class _Share:
    """How many of the waiting frames are of one kind; one more may come as long as there is room."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages = 0
        self._bytes = 0

    def add(self, size_bytes: int) -> None:
        self._messages += 1
        self._bytes += size_bytes

    def remove(self, size_bytes: int) -> None:
        self._messages -= 1
        self._bytes -= size_bytes

    @property
    def is_full(self) -> bool:
        return self._messages >= self._max_messages or self._bytes >= self._max_bytes

    @property
    def is_half_full(self) -> bool:
        return self._messages * 2 >= self._max_messages or self._bytes * 2 >= self._max_bytes


class Outbox:
    """Frames waiting to be written to one connection, in the order in which they were put.

    Putting never blocks. What others want of the peer and what it gets for its own doing are counted apart.

    - Who fills the outbox with calls should wait while it is crowded, which is from half of its room on, and
      make none while it is full: a peer that reads more slowly than others call it does not suffer for them.
    - Answers are the peer's own doing. One that asks for more of them than there is room for, and does not
      read, closes the outbox: what waits is forgotten, and its owner drops the connection.

    Args:
        max_messages: How many calls may wait. Answers are bounded by their size alone: the end of one worker
            answers all the calls that it was executing at once.
        max_bytes: How large the calls, or the answers, may be together; one more is taken as long as they are
            smaller.
        patience_s: How long who fills it waits without seeing a frame leave.
        on_full: Told when no more calls should come, and again only after it has been less than crowded.
    """

    def __init__(
        self, *, max_messages: int, max_bytes: int, patience_s: float, on_full: Callable[[], None]
    ) -> None:
        self._frames: deque[tuple[bytes, _Share]] = deque()
        self._calls = _Share(max_messages, max_bytes)
        self._answers = _Share(max_bytes // _SMALLEST_FRAME_BYTES + 1, max_bytes)
        self._patience_s = patience_s
        self._on_full = on_full
        self._is_full_known = False
        self._ready = asyncio.Event()
        self._has_room = asyncio.Event()
        self._taken = 0
        self._is_stalled = False
        self._closed = False

    def put(self, frame: bytes) -> bool:
        """Add what the peer asked for; answers whether there was room."""
        if self._closed:
            return False
        if self._answers.is_full:
            self.abandon()
            return False
        self._append(frame, self._answers)
        return True

    def put_call(self, frame: bytes) -> None:
        """Add what others want of the peer. Who has a choice does not while the outbox is full."""
        if self._closed:
            return
        self._append(frame, self._calls)
        if self._calls.is_full and not self._is_full_known:
            self._is_full_known = True
            self._on_full()

    def abandon(self) -> None:
        """Forget what waits and take no more frames: nobody is there to read them."""
        self._frames.clear()
        self.end()

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
        """Tell whether half of the room for calls is taken."""
        return self._calls.is_half_full

    @property
    def is_full(self) -> bool:
        """Tell whether there is no room for another call."""
        return self._calls.is_full

    async def wait_for_room(self) -> None:
        """Wait until the outbox is no longer crowded; of one from which no frame leaves, not for long.

        Cancellation: safe.
        """
        while self.is_crowded and not self._is_stalled and not self._closed:
            taken = self._taken
            self._has_room.clear()
            try:
                async with asyncio.timeout(self._patience_s):
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
        frame, share = self._frames.popleft()
        share.remove(len(frame))
        self._taken += 1
        self._is_stalled = False
        if not self.is_crowded:
            self._is_full_known = False
            self._has_room.set()
        return frame

    def _append(self, frame: bytes, share: _Share) -> None:
        self._frames.append((frame, share))
        share.add(len(frame))
        self._ready.set()

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)
