"""WebSockets by hand, for peers that no library would be."""

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.worker_socket.live import LiveBridge

__all__ = ["greeting_of", "raw_connection", "raw_frame", "say"]


@asynccontextmanager
async def raw_connection(
    live: LiveBridge, path: str = "/", receive_buffer_bytes: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a WebSocket and leave everything after the handshake to the test: no pongs, no close frames."""
    sock = socket.socket()
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", live.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**12)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def greeting_of(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read the first frame, which is short and unmasked."""
    first, length = await reader.readexactly(2)
    assert first == 0x81
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    greeting: dict[str, str] = json.loads(await reader.readexactly(length))
    return greeting


def raw_frame(first: int, payload: bytes = b"") -> bytes:
    """Return a frame of less than 64 KiB, masked with zeros."""
    size = len(payload)
    head = bytes([first, 0x80 | size]) if size < 126 else bytes([first, 0x80 | 126]) + struct.pack("!H", size)
    return head + b"\0\0\0\0" + payload


def say(writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
    """Send a text frame."""
    writer.write(raw_frame(0x81, json.dumps(message).encode()))
