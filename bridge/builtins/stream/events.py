"""What subscribers and triggers are told: one envelope around one of six events (spec 03 §3.2)."""

from dataclasses import dataclass
from typing import Literal

import msgspec

__all__ = ["DataEvent", "Envelope", "Event", "SentEvent", "SentMessage", "Topic", "UnauthorizedEvent"]


@dataclass(frozen=True, slots=True)
class Topic:
    """What an event is about, or a subscriber asks for: a group, or one item of it."""

    stream_name: str
    group_id: str
    item_id: str | None = None


class DataEvent(msgspec.Struct, frozen=True):
    """An item was created, updated or deleted; or `sync`, what a new subscriber finds."""

    type: Literal["create", "update", "delete", "sync"]
    data: msgspec.Raw


class SentMessage(msgspec.Struct, frozen=True):
    """What `stream::send` was given."""

    type: str
    data: msgspec.Raw


class SentEvent(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """Somebody sent a message to a group; nothing is stored."""

    event: SentMessage


class UnauthorizedEvent(msgspec.Struct, frozen=True, tag_field="type", tag="unauthorized"):
    """A join was refused."""


Event = DataEvent | SentEvent | UnauthorizedEvent


class Envelope(msgspec.Struct, frozen=True, tag_field="type", tag="stream", rename="camel"):
    """An event and what it is about; `timestamp` is Unix time in milliseconds."""

    timestamp: int
    stream_name: str
    group_id: str
    id: str | None
    event: Event

    @classmethod
    def about(cls, topic: Topic, event: Event, *, timestamp_ms: int) -> "Envelope":
        """Put an event about a topic in its envelope."""
        return cls(timestamp_ms, topic.stream_name, topic.group_id, topic.item_id, event)
