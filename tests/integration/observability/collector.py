"""A collector of telemetry on a real socket."""

import asyncio
import json
from typing import Any

import httpx


class Collector:
    """A collector that takes what it is sent, or answers with another status."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Any]] = []
        self.status = 200
        self.heads: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
        body = await reader.readexactly(int(length.partition(":")[2]))
        if self.status == httpx.codes.OK:
            self.received.append((head.split(" ")[1], json.loads(body)))
        writer.write(f"HTTP/1.1 {self.status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for _, body in self.received
            for sender in body.get("resourceSpans", ())
            for scope in sender["scopeSpans"]
            for span in scope["spans"]
        ]

    def names(self) -> list[str]:
        return [each["name"] for each in self.spans]
