"""Tells everyone who is interested what happened: triggers and subscribers (spec 03 §3.2)."""

from collections.abc import Callable

from bridge.builtins.stream.events import Envelope, Event, Topic
from bridge.builtins.stream.subscriptions import Subscriptions
from bridge.builtins.stream.triggers import ChangeTriggers
from bridge.protocol import payload

__all__ = ["Announcer"]


class Announcer:
    """Encodes an event once, whatever the number of those it goes to.

    Args:
        triggers: Functions that run on events.
        subscriptions: Clients that see them.
        now_ms: Unix time in milliseconds.
    """

    def __init__(
        self, triggers: ChangeTriggers, subscriptions: Subscriptions, now_ms: Callable[[], int]
    ) -> None:
        self._triggers = triggers
        self._subscriptions = subscriptions
        self._now_ms = now_ms

    def announce(self, topic: Topic, event: Event) -> None:
        """Start the triggers of an event and send it to its subscribers."""
        watchers = self._triggers.watching(topic)
        if not watchers and not self._subscriptions.are_in(topic):
            return
        frame = payload.encode(Envelope.about(topic, event, timestamp_ms=self._now_ms()))
        if watchers:
            self._triggers.fire(watchers, frame)
        self._subscriptions.deliver(topic, bytes(frame))
