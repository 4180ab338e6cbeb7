"""One look at the queues for everybody who asks within a few seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bridge.engine.observation import QueueState
from bridge.errors import BridgeError, EngineError

__all__ = ["SharedLook"]

_FRESH_S = 5.0
"""How long what Temporal said is told again."""
_FRESH_FAILURE_S = 1.0
"""How long it is told that Temporal said nothing."""


class SharedLook:
    """Asks about the queues, at most every few seconds.

    Args:
        read: Asks.
        clock_s: A clock that never goes back.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Sequence[QueueState]]], clock_s: Callable[[], float]
    ) -> None:
        self._read = read
        self._clock_s = clock_s
        self._looking = asyncio.Lock()
        self._looked_s: float | None = None
        self._seen: Sequence[QueueState] | BridgeError = ()

    async def read(self) -> Sequence[QueueState]:
        """Tell what is known of every queue.

        Raises:
            BridgeError: Temporal did not answer.

        Cancellation: safe.
        """
        async with self._looking:
            fresh_s = _FRESH_FAILURE_S if isinstance(self._seen, BridgeError) else _FRESH_S
            if self._looked_s is None or self._clock_s() - self._looked_s >= fresh_s:
                try:
                    self._seen = await self._read()
                except BridgeError as exc:
                    self._seen = exc
                self._looked_s = self._clock_s()
        if isinstance(self._seen, BridgeError):
            raise EngineError(str(self._seen)) from self._seen
        return self._seen
