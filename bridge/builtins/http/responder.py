"""Sends one response over ASGI, with the headers every response has."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from bridge.builtins.http.response import Headers, Response

__all__ = ["Responder", "Send"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NO_CONTENT = 204
NOT_MODIFIED = 304


class Responder:
    """Sends one response.

    Args:
        send: The ASGI channel; it waits while the client does not read.
        cors: The CORS headers of this response.
    """

    def __init__(self, send: Send, cors: Headers) -> None:
        self._send = send
        self._cors = cors
        self._remaining_bytes: int | None = None
        self.has_started = False

    async def respond(self, response: Response, *, with_cors: bool = True) -> None:
        """Send a complete response.

        Cancellation: the response may be cut short.
        """
        headers = _without(response.headers, b"content-length")
        body = response.body
        if response.status in (NO_CONTENT, NOT_MODIFIED):
            body = b""
        else:
            headers = (*headers, (b"content-length", str(len(body)).encode()))
        await self._start(response.status, headers, self._cors if with_cors else ())
        await self._send({"type": "http.response.body", "body": body})

    async def start_stream(self, status: int, headers: Headers) -> None:
        """Send the head of a streamed response.

        A length that the handler declared holds; without one the body is chunked.
        """
        lengths = [value for name, value in headers if name == b"content-length"]
        headers = _without(headers, b"content-length")
        if status in (NO_CONTENT, NOT_MODIFIED):
            self._remaining_bytes = 0
        elif lengths and lengths[-1].isdigit():
            self._remaining_bytes = int(lengths[-1])
            headers = (*headers, (b"content-length", lengths[-1]))
        await self._start(status, headers, self._cors)

    async def write(self, chunk: bytes) -> None:
        """Send a piece of a streamed body at once, waiting while the client does not read.

        What goes beyond a declared length is dropped.
        """
        if self._remaining_bytes is not None:
            chunk = chunk[: self._remaining_bytes]
            self._remaining_bytes -= len(chunk)
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> bool:
        """End a streamed body.

        Returns:
            Whether the client got as much as was declared; otherwise its connection is about to be cut,
            which is how HTTP says so.
        """
        if self._remaining_bytes:
            return False
        await self._send({"type": "http.response.body", "body": b""})
        return True

    async def _start(self, status: int, headers: Headers, cors: Headers) -> None:
        self.has_started = True
        ours = {name for name, _ in cors if name != b"vary"} | {b"transfer-encoding"}
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    *((name, value) for name, value in headers if name not in ours),
                    *cors,
                    (b"date", _http_date(int(time.time()))),
                ],
            }
        )


def _without(headers: Headers, unwanted: bytes) -> Headers:
    return tuple((name, value) for name, value in headers if name != unwanted)


@lru_cache(maxsize=1)
def _http_date(now_s: int) -> bytes:
    return formatdate(now_s, usegmt=True).encode()
