"""Forgetting entries that nobody watches any more: `ttl_seconds` (spec 05 §4.6)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from bridge.engine.engine import Spawn
from bridge.errors import BridgeError

__all__ = ["Expiry"]

log = structlog.get_logger("bridge.configuration")


@dataclass(slots=True, eq=False)
class _Wait:
    """A time of waiting, which another one for the same entry may replace."""

    entry_id: str
    until_s: float


class Expiry:
    """Removes an entry some time after its last watcher left, unless a new one comes before.

    Args:
        ttl_s: The time; 0 keeps every entry.
        remove: Removes an entry.
        spawn: Runs the waiting.
        sleep: Waits.
        clock_s: A clock that never goes back.
    """

    def __init__(
        self,
        ttl_s: float,
        remove: Callable[[str], Awaitable[None]],
        spawn: Spawn,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl_s = ttl_s
        self._remove = remove
        self._spawn = spawn
        self._sleep = sleep
        self._clock_s = clock_s
        # All wait equally long, so the first in is the first out.
        self._waiting: dict[str, _Wait] = {}
        self._is_running = False

    def begin(self, entry_id: str) -> None:
        """Begin to wait: nobody watches the entry."""
        if not self._ttl_s:
            return
        self.cancel(entry_id)
        self._waiting[entry_id] = _Wait(entry_id, self._clock_s() + self._ttl_s)
        if not self._is_running:
            self._is_running = True
            self._spawn(self._run(), "expiry of configuration entries")

    def cancel(self, entry_id: str) -> None:
        """Keep the entry: somebody watches it, or has registered it again."""
        self._waiting.pop(entry_id, None)

    async def _run(self) -> None:
        """Remove what is due until nothing waits: one task, however many entries come and go."""
        while self._waiting:
            wait = next(iter(self._waiting.values()))
            await self._sleep(max(0.0, wait.until_s - self._clock_s()))
            if self._waiting.get(wait.entry_id) is wait:
                del self._waiting[wait.entry_id]
                await self._expire(wait.entry_id)
        self._is_running = False

    async def _expire(self, entry_id: str) -> None:
        try:
            await self._remove(entry_id)
        except BridgeError as exc:
            log.warning("configuration entry not removed", id=entry_id, reason=str(exc))
