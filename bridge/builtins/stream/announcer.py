"""Tells everyone who is interested what happened: triggers and subscribers (spec 03 §3.2)."""

from collections.abc import Callable

import msgspec
import structlog

from bridge.builtins.stream.events import Envelope, Event, Topic
from bridge.builtins.stream.subscriptions import Subscriptions
from bridge.builtins.stream.triggers import ChangeTriggers
from bridge.protocol import payload
from bridge.storage.broker import Broker

__all__ = ["EVENTS_TOPIC", "Announcer"]

log = structlog.get_logger("bridge.stream")

EVENTS_TOPIC = "events"


class _Address(msgspec.Struct, frozen=True, rename="camel"):
    """What of an envelope decides where it goes."""

    stream_name: str
    group_id: str
    id: str | None


_address_decoder = msgspec.json.Decoder(_Address)


class Announcer:
    """Encodes an event once, whatever the number of those it goes to, on this bridge and on others.

    Args:
        broker: Connects the bridges that share the store.
        triggers: Functions that run on events.
        subscriptions: Clients that see them.
        now_ms: Unix time in milliseconds.
    """

    def __init__(
        self,
        broker: Broker,
        triggers: ChangeTriggers,
        subscriptions: Subscriptions,
        now_ms: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._triggers = triggers
        self._subscriptions = subscriptions
        self._now_ms = now_ms

    async def announce(self, topic: Topic, event: Event) -> None:
        """Send an event to every bridge, this one included.

        Raises:
            StorageError: It could not be sent; nobody is told.
        """
        frame = payload.encode(Envelope.about(topic, event, timestamp_ms=self._now_ms()))
        await self._broker.publish(EVENTS_TOPIC, bytes(frame))

    def receive(self, frame: bytes) -> None:
        """Start the triggers of an event and send it to its subscribers, those of this bridge.

        Args:
            frame: The envelope as JSON, from whichever bridge the event happened on.
        """
        try:
            address = _address_decoder.decode(frame)
        except (msgspec.MsgspecError, RecursionError) as exc:
            log.warning("stream event skipped: it cannot be read", reason=str(exc))
            return
        topic = Topic(address.stream_name, address.group_id, address.id)
        if watchers := self._triggers.watching(topic):
            self._triggers.fire(watchers, msgspec.Raw(frame))
        self._subscriptions.deliver(topic, frame)
