"""The client of a connection, and those who stop when it leaves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge.errors import BridgeError

__all__ = ["Client", "ClientGoneError"]


class ClientGoneError(BridgeError):
    """The client closed the connection before it had its response."""


class Client:
    """Whoever is at the other end of a connection."""

    def __init__(self) -> None:
        self._is_gone = False
        self._serving: set[asyncio.Task[Any]] = set()

    def leave(self) -> None:
        """Stop whatever is being done for it: the connection is lost."""
        self._is_gone = True
        for task in self._serving:
            task.cancel()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Run a block of a task as long as the client stays.

        Raises:
            ClientGoneError: It left; the block was cancelled.
        """
        task = asyncio.current_task()
        if self._is_gone or task is None:
            raise ClientGoneError("The client left before its request was served")
        cancelled_before = task.cancelling()
        self._serving.add(task)
        try:
            yield
        except asyncio.CancelledError as exc:
            if self._is_gone and task.uncancel() <= cancelled_before:
                raise ClientGoneError("The client left before its response was complete") from exc
            raise
        finally:
            self._serving.discard(task)
