"""What `configuration::*` functions take, answer and announce (spec 05 §4.6). Values stay raw JSON."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from bridge.protocol.payload import ABSENT

__all__ = [
    "Changed",
    "ConfigurationEvent",
    "Entry",
    "EventType",
    "GetInput",
    "Listed",
    "RegisterInput",
    "SchemaInput",
    "SetInput",
    "Summary",
    "Value",
]

EventType = Literal["configuration:registered", "configuration:updated", "configuration:deleted"]
Metadata = msgspec.Raw | msgspec.UnsetType


class RegisterInput(msgspec.Struct, frozen=True):
    """Input of `configuration::register`."""

    id: str
    name: str
    description: str
    schema: msgspec.Raw
    initial_value: msgspec.Raw = ABSENT
    metadata: Metadata = msgspec.UNSET


class SetInput(msgspec.Struct, frozen=True):
    """Input of `configuration::set`."""

    id: str
    value: msgspec.Raw


class GetInput(msgspec.Struct, frozen=True):
    """Input of `configuration::get`; `raw` asks for the text as it was stored."""

    id: str
    raw: bool = False


class SchemaInput(msgspec.Struct, frozen=True):
    """Input of `configuration::schema`."""

    id: str


class Entry(msgspec.Struct, frozen=True):
    """An entry, as it is stored and as `configuration::register` answers it; the value is not expanded."""

    id: str
    name: str
    description: str
    schema: msgspec.Raw
    value: msgspec.Raw
    metadata: Metadata = msgspec.UNSET


class Summary(msgspec.Struct, frozen=True):
    """An entry without its value."""

    id: str
    name: str
    description: str
    schema: msgspec.Raw
    metadata: Metadata = msgspec.UNSET


class Listed(msgspec.Struct, frozen=True):
    """Answer of `configuration::list`."""

    configurations: Sequence[Summary]


class Changed(msgspec.Struct, frozen=True):
    """Answer of `configuration::set`: both as they were given, not expanded."""

    old_value: msgspec.Raw
    new_value: msgspec.Raw


class Value(msgspec.Struct, frozen=True):
    """Answer of `configuration::get`."""

    id: str
    value: msgspec.Raw


class ConfigurationEvent(msgspec.Struct, frozen=True, tag_field="type", tag="configuration"):
    """What a `configuration` trigger hands to its function; the values are expanded.

    A value whose placeholders cannot be replaced is `null`.
    """

    event_type: EventType
    id: str
    name: str
    description: str
    schema: msgspec.Raw
    old_value: msgspec.Raw
    new_value: msgspec.Raw
    metadata: Metadata = msgspec.UNSET
