"""The broker port: how what happens on one bridge reaches all that share a server with it (spec 03 §4.3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.errors import StorageError

__all__ = ["Broker", "LocalBroker", "Subscriber"]


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who gets the messages of a topic.

    Attributes:
        receive: Takes one message, JSON text; never blocks and never raises.
        resume: Told that messages may have been missed and that from now on none is.
    """

    receive: Callable[[bytes], None]
    resume: Callable[[], None] = _nothing


class Broker(Protocol):
    """Broadcasts messages by topic: at most once, kept nowhere, to the publisher's own bridge as well.

    All bridges see the messages of a topic in one order, and those of one bridge in the order of its calls.
    """

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Begin to hand over the messages of a topic, to this subscriber alone."""

    def unsubscribe(self, topic: str) -> None:
        """Stop; a topic that nobody subscribed to is harmless."""

    async def settle(self) -> None:
        """Wait until all subscriptions made so far hear what is published from now on.

        Raises:
            StorageError: That takes too long.

        Cancellation: safe.
        """

    async def publish(self, topic: str, message: bytes) -> None:
        """Hand a message to every bridge that is subscribed, this one included.

        Subscriptions made before on this bridge hear it.

        Raises:
            StorageError: It could not be sent, or the broker is closed.

        Cancellation: safe; the message may still be sent.
        """

    async def close(self) -> None:
        """Stop handing over messages. Closing twice is harmless."""


class LocalBroker:
    """A `Broker` for one bridge: a message is handed over before `publish` returns."""

    def __init__(self) -> None:
        self._subscribers: dict[str, Subscriber] = {}
        self._is_closed = False

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Begin to hand over the messages of a topic."""
        self._subscribers[topic] = subscriber

    def unsubscribe(self, topic: str) -> None:
        """Stop handing them over."""
        self._subscribers.pop(topic, None)

    async def settle(self) -> None:
        """Return at once: a subscription is in force when it is made."""

    async def publish(self, topic: str, message: bytes) -> None:
        """Hand a message to the subscriber of its topic, if there is one."""
        if self._is_closed:
            raise StorageError("the broker is closed; the bridge is shutting down")
        subscriber = self._subscribers.get(topic)
        if subscriber is not None:
            subscriber.receive(message)

    async def close(self) -> None:
        """Refuse all later messages."""
        self._is_closed = True
