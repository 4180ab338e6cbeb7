"""Telemetry in memory, bounded three ways: by count, by size and by age."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["BoundedStore"]

Item = TypeVar("Item")

_SECOND_NS = 1_000_000_000
_MAX_BYTES = 64 * 1024 * 1024


class BoundedStore(Generic[Item]):
    """Keeps the newest items; to make room, the oldest go.

    Args:
        max_count: How many are kept.
        retention_s: How long one is kept; `None` keeps it until it has to make room.
        now_ns: Unix time.
        max_bytes: What they take together, as their senders wrote them.

    Attributes:
        dropped: How many went to make room.
    """

    def __init__(
        self,
        *,
        max_count: int,
        retention_s: float | None,
        now_ns: Callable[[], int],
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._entries: deque[tuple[int, int, Item]] = deque()
        self._bytes = 0
        self.dropped = 0
        self.limit(max_count=max_count, retention_s=retention_s)

    def limit(self, *, max_count: int, retention_s: float | None) -> None:
        """Change how many are kept and how long; what is over that goes."""
        self._max_count = max_count
        self._retention_ns = None if retention_s is None else int(retention_s * _SECOND_NS)
        self._forget_old()
        self._make_room()

    def add(self, item: Item, size_bytes: int) -> None:
        """Keep an item; one that is larger than everything may be is not kept."""
        self._forget_old()
        self._entries.append((self._now_ns(), size_bytes, item))
        self._bytes += size_bytes
        self._make_room()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many items are kept."""
        self._forget_old()
        return len(self._entries)

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items, oldest first."""
        self._forget_old()
        return iter([item for _, _, item in self._entries])

    def _make_room(self) -> None:
        while len(self._entries) > self._max_count or self._bytes > self._max_bytes:
            self._forget_first()
            self.dropped += 1

    def _forget_old(self) -> None:
        if self._retention_ns is None:
            return
        oldest_ns = self._now_ns() - self._retention_ns
        while self._entries and self._entries[0][0] < oldest_ns:
            self._forget_first()

    def _forget_first(self) -> None:
        _, size_bytes, _ = self._entries.popleft()
        self._bytes -= size_bytes
