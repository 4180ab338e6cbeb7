"""Hangs up on a client that does not read its response."""

import asyncio
from typing import Protocol

__all__ = ["Transport", "WriteWatch"]


class Transport(Protocol):
    """What is asked of a connection's transport."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the system did not take yet."""

    def abort(self) -> None:
        """Hang up at once."""


class WriteWatch:
    """Watches bytes that wait for a client to read.

    A slow client is served for as long as it takes; one that reads nothing for the whole time is cut off,
    and with it goes the memory that its response holds. A stream that has nothing to send waits for nobody.

    Args:
        loop: Counts the time.
        transport: The client's.
        timeout_s: How long a client may read nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Transport, timeout_s: float) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout_s = timeout_s
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch, from now: bytes wait."""
        self.stop()
        self._waiting_bytes = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._timeout_s, self._look)

    def stop(self) -> None:
        """Watch no longer: nothing waits, or the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() < self._waiting_bytes:
            self.start()
        else:
            self._transport.abort()
