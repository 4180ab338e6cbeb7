"""What is known of the queues over every namespace."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from bridge.engine.observation import QueueState
from bridge.temporal.spread.looking import ask_all
from bridge.temporal.statistics import QueueStatistics

__all__ = ["SpreadStatistics"]


class SpreadStatistics:
    """Adds up what each namespace knows.

    Args:
        parts: What knows the queues of each.
        names: Names the queues.
    """

    def __init__(
        self, parts: Sequence[QueueStatistics], names: Callable[[], Awaitable[Collection[str]]]
    ) -> None:
        self._parts = parts
        self._names = names

    async def read(self) -> Sequence[QueueState]:
        """Look at every queue.

        Raises:
            BridgeError: Temporal did not answer in time, or not at all.

        Cancellation: safe.
        """
        names = await self._names()
        looks = await ask_all(each.read(names) for each in self._parts)
        return [_sum(states) for states in zip(*looks, strict=True)]


def _sum(states: Iterable[QueueState]) -> QueueState:
    first, *others = states
    for other in others:
        waiting = (first.waiting, other.waiting)
        first = QueueState(
            name=first.name,
            depth=first.depth + other.depth,
            oldest_s=max(first.oldest_s, other.oldest_s),
            waiting=None if None in waiting else sum(each or 0 for each in waiting),
            dead_letters=first.dead_letters + other.dead_letters,
        )
    return first
