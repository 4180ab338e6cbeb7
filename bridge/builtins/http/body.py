"""The body of a request, as it arrives."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from bridge.builtins.http.client import ClientGoneError
from bridge.errors import CapacityError

__all__ = ["Receive", "RequestBody"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class RequestBody:
    """Reads an ASGI request body once. Concurrency: one reader.

    Args:
        receive: The ASGI channel; it stops reading from the client while nobody asks for more.
        limit_bytes: How much `read` takes into memory.
        declared_bytes: How long it says it is; `None` when it ends where it ends.
    """

    def __init__(self, receive: Receive, *, limit_bytes: int, declared_bytes: int | None) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._declared_bytes = declared_bytes
        self.is_complete = declared_bytes == 0

    async def read(self) -> bytes:
        """Read the whole body into memory.

        Raises:
            CapacityError: It is larger than the limit; the rest is unread.
            ClientGoneError: The client left before its end.
        """
        if self._declared_bytes is not None and self._declared_bytes > self._limit_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size_bytes = 0
        async for chunk in self.chunks():
            size_bytes += len(chunk)
            if size_bytes > self._limit_bytes:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it arrives.

        Raises:
            ClientGoneError: The client left before its end.
        """
        while not self.is_complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("The client left before the end of its request")
            self.is_complete = not message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk

    def _too_large(self) -> CapacityError:
        return CapacityError(
            f"The JSON body is larger than {self._limit_bytes} bytes (body_limit_bytes of the HTTP worker); "
            "send large data with another content type, it is streamed to the function without a limit"
        )
