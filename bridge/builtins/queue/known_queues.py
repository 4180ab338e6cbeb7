"""What there is, and what a name stands for: a named queue, or a topic's subscribers (spec 02 §6.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.builtins.queue.ports import TopicReader
from workflows.contract import Subscriber

__all__ = ["KnownQueue", "KnownQueues"]


@dataclass(frozen=True, slots=True)
class KnownQueue:
    """A named queue or a topic.

    Attributes:
        queues: The internal queues that it stands for, at least one.
        consumers: The slots of a named queue, the triggers of a topic.
    """

    name: str
    queues: tuple[str, ...]
    consumers: int
    is_topic: bool = False


class KnownQueues:
    """Named queues and topics. A topic that has the name of a queue is out of reach, as in iii.

    Every method raises `BridgeError` when subscriptions cannot be read now.

    Args:
        concurrency: The named queues and how many messages of each run at once.
        topics: Reads subscriptions.
    """

    def __init__(self, concurrency: Mapping[str, int], topics: TopicReader) -> None:
        self._concurrency = concurrency
        self._topics = topics

    async def find(self, name: str) -> KnownQueue:
        """Return what a name stands for; one that nobody knows stands for itself."""
        if name in self._concurrency:
            return self._named(name)
        return _topic(name, await self._topics.subscribers(name) if name else ())

    async def resolve(self, name: str) -> tuple[str, ...]:
        """Name the internal queues that a name stands for."""
        return (await self.find(name)).queues

    async def all(self) -> Sequence[KnownQueue]:
        """Return every topic that is subscribed to, and every named queue."""
        topics = await self._topics.list()
        known = [_topic(name, topics[name]) for name in sorted(topics) if name not in self._concurrency]
        return [*known, *map(self._named, self._concurrency)]

    async def internal_queues(self) -> Sequence[str]:
        """Name every queue from which deliveries come."""
        return [queue for known in await self.all() for queue in known.queues]

    def _named(self, name: str) -> KnownQueue:
        return KnownQueue(name, (name,), self._concurrency[name])


def _topic(name: str, subscribers: Sequence[Subscriber]) -> KnownQueue:
    return KnownQueue(
        name,
        queues=tuple(each.subscription.queue for each in subscribers) or (name,),
        consumers=sum(each.triggers for each in subscribers),
        is_topic=True,
    )
