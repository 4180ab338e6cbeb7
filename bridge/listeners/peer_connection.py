"""One accepted WebSocket: no peer makes it hoard, and none gets a frame that its library dies of."""

from collections.abc import Iterator
from typing import Any

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

__all__ = ["PeerConnection"]

log = structlog.get_logger("bridge.websocket")

_MIB = 1024 * 1024

LARGEST_FRAME_BYTES = 16 * _MIB - 1024
"""A larger message is sent in fragments: the Rust SDK's library dies of a frame over 16 MiB."""

_FRAGMENT_BYTES = _MIB

MOST_UNSENT_BYTES = 2 * LARGEST_FRAME_BYTES
"""How much may wait for a peer that pings: the library answers pings whether the answers are read or not."""


class PeerConnection(ServerConnection):
    """A connection of a worker, of telemetry or of a channel."""

    async def send(self, message: Any, text: bool | None = None) -> None:
        """Send a message, a large one in fragments.

        Raises:
            ConnectionClosed: The peer has gone.

        Cancellation: between the fragments of a large message it closes the connection.
        """
        if isinstance(message, str) and len(message) > LARGEST_FRAME_BYTES // 4:
            message, text = message.encode(), True
        if isinstance(message, bytes) and len(message) > LARGEST_FRAME_BYTES:
            await super().send(_pieces(message), text=text)
        else:
            await super().send(message, text=text)

    def process_event(self, event: Any) -> None:
        """Take a frame; a peer that pings on and on and does not read the answers is dropped."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is Opcode.PING and self._hoards():
            log.warning("connection dropped: it pings and does not read the answers")
            self.transport.abort()

    def _hoards(self) -> bool:
        return self.transport.get_write_buffer_size() > MOST_UNSENT_BYTES


def _pieces(message: bytes) -> Iterator[bytes]:
    return (message[at : at + _FRAGMENT_BYTES] for at in range(0, len(message), _FRAGMENT_BYTES))
