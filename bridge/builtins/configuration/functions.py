"""The `configuration::*` functions (spec 05 §4.6)."""

from collections.abc import Callable

import msgspec

from bridge.builtins.configuration.entries import Entries
from bridge.builtins.configuration.messages import (
    Changed,
    Entry,
    GetInput,
    Listed,
    RegisterInput,
    SchemaInput,
    SetInput,
    Summary,
    Value,
)
from bridge.builtins.configuration.values import check_value, decode, has_placeholder
from bridge.engine.calls import Call
from bridge.engine.engine import decode_input
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT, NULL

__all__ = ["ConfigurationFunctions"]

_register_decoder = msgspec.json.Decoder(RegisterInput)
_set_decoder = msgspec.json.Decoder(SetInput)
_get_decoder = msgspec.json.Decoder(GetInput)
_schema_decoder = msgspec.json.Decoder(SchemaInput)


class ConfigurationFunctions:
    """Answers workers about entries.

    Args:
        entries: The entries.
        on_registered: Called with the id of each entry that a worker registers.
    """

    def __init__(self, entries: Entries, on_registered: Callable[[str], None]) -> None:
        self._entries = entries
        self._on_registered = on_registered

    async def register(self, call: Call) -> msgspec.Raw:
        """Add an entry with its schema, or change all of it but its value."""
        asked = decode_input(call, _register_decoder)
        _refuse_environment(call, asked.initial_value)
        entry = await self._entries.register(asked)
        self._on_registered(asked.id)
        return payload.encode(entry)

    async def set(self, call: Call) -> msgspec.Raw:
        """Replace the value of an entry."""
        asked = decode_input(call, _set_decoder)
        _refuse_environment(call, asked.value)
        return payload.encode(Changed(await self._entries.set(asked.id, asked.value), asked.value))

    async def get(self, call: Call) -> msgspec.Raw:
        """Read the value of an entry: as it is meant, or as it was given."""
        asked = decode_input(call, _get_decoder)
        entry = await self._found(asked.id)
        if asked.raw or entry.value == NULL:
            return payload.encode(Value(entry.id, entry.value))
        value = self._entries.expanded(entry)
        check_value(entry.schema, decode(value, f"The value of {entry.id}"))
        return payload.encode(Value(entry.id, value))

    async def list(self, _: Call) -> msgspec.Raw:
        """Name the entries with their schemas, never with their values."""
        return payload.encode(Listed([_summary(entry) for entry in await self._entries.all()]))

    async def schema(self, call: Call) -> msgspec.Raw:
        """Describe one entry without its value."""
        return payload.encode(_summary(await self._found(decode_input(call, _schema_decoder).id)))

    async def _found(self, entry_id: str) -> Entry:
        entry = await self._entries.find(entry_id)
        if entry is None:
            raise FunctionFailedError(
                "NOT_FOUND", f"There is no configuration '{entry_id[:100]}'; configuration::list names them"
            )
        return entry


def _summary(entry: Entry) -> Summary:
    return Summary(entry.id, entry.name, entry.description, entry.schema, entry.metadata)


def _refuse_environment(call: Call, value: msgspec.Raw) -> None:
    """Keep the bridge's environment from sessions with rules, which could read it from an entry."""
    if call.caller is None or not call.caller.access.is_restricted or value == ABSENT:
        return
    if has_placeholder(decode(value, "The value")):
        raise FunctionFailedError(
            "FORBIDDEN",
            "A session with rules may not take values from the environment of the bridge; "
            "write the value itself, without ${…}",
        )
