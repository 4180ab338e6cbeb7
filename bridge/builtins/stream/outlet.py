"""Frames on their way to one stream client, bounded so that a client that does not read harms nobody else."""

import asyncio
from collections import deque

import structlog
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

__all__ = ["WRITE_BUFFER_BYTES", "Outlet"]

log = structlog.get_logger("bridge.stream")

WRITE_BUFFER_BYTES = 64 * 1024
"""How much may wait in a connection's own write buffer before frames wait here."""

_MAX_WAITING_BYTES = 16 * 1024 * 1024


class Outlet:
    """Writes to the socket at once while it takes data; what it does not take waits here.

    Frames that wait are shared with all other clients, so a thousand slow ones cost the memory of one. A
    client that is too far behind is disconnected: it comes back, joins again and gets a fresh `sync`, which
    is better than a gap it cannot see.

    Args:
        connection: The client's connection.
        max_frames: How many frames may wait. Their bytes are bounded too; one larger frame is taken when
            nothing else waits.
    """

    def __init__(self, connection: ServerConnection, *, max_frames: int) -> None:
        self._connection = connection
        self._max_frames = max_frames
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._has_waiting = asyncio.Event()

    def send(self, frame: bytes) -> None:
        """Put a frame on its way; never blocks, and does nothing once the client is gone."""
        transport = self._connection.transport
        if transport.is_closing():
            return
        if not self._waiting and transport.get_write_buffer_size() <= WRITE_BUFFER_BYTES:
            broadcast((self._connection,), frame, text=True)
        elif self._has_room_for(frame):
            self._waiting.append(frame)
            self._waiting_bytes += len(frame)
            self._has_waiting.set()
        else:
            log.warning(
                "stream client dropped: it does not read its events",
                connection_id=str(self._connection.id),
                waiting_frames=len(self._waiting),
                waiting_bytes=self._waiting_bytes,
            )
            self._waiting.clear()
            transport.abort()

    async def write_waiting(self) -> None:
        """Write what waits whenever the socket takes data again, until the client is gone.

        Cancellation: safe; frames that wait are lost.
        Concurrency: one writer only.
        """
        try:
            while True:
                await self._has_waiting.wait()
                while self._waiting:
                    frame = self._waiting.popleft()
                    self._waiting_bytes -= len(frame)
                    await self._connection.send(frame, text=True)
                self._has_waiting.clear()
        except ConnectionClosed:
            return

    def _has_room_for(self, frame: bytes) -> bool:
        if not self._waiting:
            return True
        return (
            len(self._waiting) < self._max_frames and self._waiting_bytes + len(frame) <= _MAX_WAITING_BYTES
        )
