"""Who gets which events over the stream socket (spec 03 §3.5). No I/O: a subscriber is a function."""

from collections.abc import Callable
from dataclasses import dataclass

from bridge.builtins.stream.events import Topic

__all__ = ["Subscription", "Subscriptions"]


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One client's interest in a topic.

    Attributes:
        id: Chosen by the client, unique on its connection.
        topic: A group, or one item of it.
        send: Puts a frame on its way to the client; never blocks, and never subscribes or unsubscribes.
    """

    id: str
    topic: Topic
    send: Callable[[bytes], None]


class Subscriptions:
    """Every subscription of every client, by group."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], dict[Subscription, None]] = {}

    def add(self, subscription: Subscription) -> None:
        """Begin to deliver."""
        self._groups.setdefault(_group(subscription.topic), {})[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        """Stop delivering; removing it again does nothing."""
        members = self._groups.get(_group(subscription.topic), {})
        members.pop(subscription, None)
        if not members:
            self._groups.pop(_group(subscription.topic), None)

    def deliver(self, topic: Topic, frame: bytes) -> None:
        """Send one frame to everyone it concerns: those of the group, and those of the item.

        Every frame is sent to all before the next one, so all see the frames of a group in one order.
        """
        for subscription in self._groups.get(_group(topic), ()):
            if subscription.topic.item_id in (None, topic.item_id):
                subscription.send(frame)


def _group(topic: Topic) -> tuple[str, str]:
    return topic.stream_name, topic.group_id
