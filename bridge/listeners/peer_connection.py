"""One accepted WebSocket: a peer cannot make it hoard, is found when it is gone, and survives every frame."""

import asyncio
import contextlib
import fcntl
import sys
import termios
from collections.abc import Iterator
from typing import Any

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from bridge.listeners.liveness import LOOKS, Finding, Liveness

__all__ = ["PeerConnection"]

log = structlog.get_logger("bridge.websocket")

_MIB = 1024 * 1024

LARGEST_FRAME_BYTES = 16 * _MIB - 1024
"""A larger message is sent in fragments: the Rust SDK's library dies of a frame over 16 MiB."""

_FRAGMENT_BYTES = _MIB

MOST_UNSENT_BYTES = 2 * LARGEST_FRAME_BYTES
"""How much may wait for a peer that pings: the library answers pings whether the answers are read or not."""


_REASONS = {
    Finding.SILENT: "the peer does not answer",
    Finding.DEAF: "the peer does not read what waits for it",
}


class PeerConnection(ServerConnection):
    """A connection of a worker, of telemetry or of a channel."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        looks = round(LOOKS * (self.ping_interval or 0) / (self.ping_timeout or 1))
        self._liveness = Liveness(looks_before_ping=max(1, looks))

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

    async def keepalive(self) -> None:
        """Ping the peer when it is quiet, and drop it when it does not answer or takes nothing any more.

        The library's own way never finds a peer that does not read, because it waits until its ping is taken.
        And it drops one that the bridge does not read, because it floods others: its answer waits as well.

        Cancellation: safe.
        """
        while self.ping_timeout is not None:
            await asyncio.sleep(self.ping_timeout / LOOKS)
            if self.protocol.state is not OPEN:
                await self.close()  # waits for the peer to agree, but not for long
            elif not self.transport.is_closing():
                self._act_on(self._look())
        await super().keepalive()

    def data_received(self, data: bytes) -> None:
        """Take what came from the peer."""
        self._liveness.heard()
        super().data_received(data)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._liveness.took()
        super().resume_writing()

    def _look(self) -> Finding:
        return self._liveness.look(
            is_read=self.transport.is_reading(), is_blocked=self.paused, unsent_bytes=self._unsent_bytes()
        )

    def _act_on(self, finding: Finding) -> None:
        if finding is Finding.QUIET:
            self.protocol.send_ping(b"")
            self.send_data()
        elif finding in _REASONS:
            log.warning("connection dropped", reason=_REASONS[finding], peer=self.remote_address)
            self.transport.abort()

    def _unsent_bytes(self) -> int:
        """Return how much waits for the peer, here and in the system, which holds back megabytes."""
        unsent_bytes = self.transport.get_write_buffer_size()
        with contextlib.suppress(OSError):  # not every system tells
            asked = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            unsent_bytes += int.from_bytes(asked, sys.byteorder)
        return unsent_bytes

    def _hoards(self) -> bool:
        return self.transport.get_write_buffer_size() > MOST_UNSENT_BYTES


def _pieces(message: bytes) -> Iterator[bytes]:
    return (message[at : at + _FRAGMENT_BYTES] for at in range(0, len(message), _FRAGMENT_BYTES))
