"""How much the bridge itself does for one worker at a time."""

import asyncio
from dataclasses import dataclass

__all__ = ["Backlog", "BacklogLimits"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BacklogLimits:
    """Bounds of one worker's backlog.

    Attributes:
        calls: How many calls may be in progress.
        size_bytes: How large their payloads may be together; one more may begin as long as they are smaller.
        patience_s: How long the connection of a worker with a full backlog is not read. Far less than the
            20 s after which either side takes the other for dead, because pings wait as well.
    """

    calls: int = 10_000
    size_bytes: int = 128 * _MIB
    patience_s: float = 5


class Backlog:
    """What one worker asked of the bridge itself and has not got: receipts, answers of built-in functions.

    Calls that other workers execute are not counted: the bridge only passes them on.

    While the backlog is full, nothing more is read from the worker: it is slowed down to what is possible.
    But what the bridge waits for may be the answer of this very worker, which would never be read. So the
    patience ends; from then until half of the room is free everything is read, and excess calls are refused.
    """

    def __init__(self, limits: BacklogLimits = BacklogLimits()) -> None:
        self._limits = limits
        self._calls = 0
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._is_impatient = False

    @property
    def is_full(self) -> bool:
        """Tell whether no more calls should begin."""
        return self._calls >= self._limits.calls or self._bytes >= self._limits.size_bytes

    @property
    def reason(self) -> str:
        """Why a call is refused."""
        return (
            f"{self._calls} calls of this worker with {self._bytes} bytes are in progress in the bridge; it "
            f"takes at most {self._limits.calls} with {self._limits.size_bytes}. Await the answers of some "
            "before making more."
        )

    def begin(self, size_bytes: int) -> None:
        """Count a call that begins."""
        self._calls += 1
        self._bytes += size_bytes

    def end(self, size_bytes: int) -> None:
        """Count a call that has ended."""
        self._calls -= 1
        self._bytes -= size_bytes
        if self._is_half_empty:
            self._is_impatient = False
            self._has_room.set()

    async def wait_for_room(self) -> bool:
        """Wait while the backlog is full, until half of the room is free, if that does not take too long.

        Returns:
            `False` when the patience has just ended.

        Cancellation: safe.
        Concurrency: one waiter only.
        """
        if not self.is_full or self._is_impatient:
            return True
        self._has_room.clear()
        try:
            async with asyncio.timeout(self._limits.patience_s):
                await self._has_room.wait()
        except TimeoutError:
            self._is_impatient = True
            return False
        return True

    @property
    def _is_half_empty(self) -> bool:
        return self._calls <= self._limits.calls // 2 and self._bytes <= self._limits.size_bytes // 2
