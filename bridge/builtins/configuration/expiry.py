"""Forgetting entries that nobody watches any more: `ttl_seconds` (spec 05 §4.6)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bridge.engine.engine import Spawn
from bridge.errors import BridgeError

__all__ = ["Expiry"]

log = structlog.get_logger("bridge.configuration")


class Expiry:
    """Removes an entry some time after its last watcher left, unless a new one comes before.

    Args:
        ttl_s: The time; 0 keeps every entry.
        remove: Removes an entry.
        spawn: Runs the waiting.
        sleep: Waits.
    """

    def __init__(
        self,
        ttl_s: float,
        remove: Callable[[str], Awaitable[None]],
        spawn: Spawn,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ttl_s = ttl_s
        self._remove = remove
        self._spawn = spawn
        self._sleep = sleep
        self._waiting: dict[str, object] = {}

    def begin(self, entry_id: str) -> None:
        """Begin to wait: nobody watches the entry."""
        if self._ttl_s:
            turn = self._waiting[entry_id] = object()
            self._spawn(self._expire(entry_id, turn), f"expiry of {entry_id}")

    def cancel(self, entry_id: str) -> None:
        """Keep the entry: somebody watches it, or has registered it again."""
        self._waiting.pop(entry_id, None)

    async def _expire(self, entry_id: str, turn: object) -> None:
        await self._sleep(self._ttl_s)
        if self._waiting.get(entry_id) is not turn:
            return
        del self._waiting[entry_id]
        try:
            await self._remove(entry_id)
        except BridgeError as exc:
            log.warning("configuration entry not removed", id=entry_id, reason=str(exc))
