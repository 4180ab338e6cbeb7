"""What the `configuration` worker offers to the engine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from bridge.builtins.configuration.entries import Entries
from bridge.builtins.configuration.expiry import Expiry
from bridge.builtins.configuration.functions import ConfigurationFunctions
from bridge.builtins.configuration.owned import OwnedEntry
from bridge.builtins.configuration.triggers import ConfigurationTriggers
from bridge.builtins.configuration.values import Expand
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import FunctionSchema
from bridge.engine.triggers import Binding, TriggerType
from bridge.protocol import payload
from bridge.storage.port import KeyValueStore

__all__ = ["Configuration"]

OWNER_NAME = "configuration"
TRIGGER_TYPE = "configuration"

_TEXT = {"type": "string"}
_ID = {"type": "string", "pattern": "^[a-z0-9_-]{1,64}$"}
_ANYTHING: Mapping[str, Any] = {}
_EVENT_TYPE = {"enum": ["configuration:registered", "configuration:updated", "configuration:deleted"]}
_INTERNAL = payload.encode({"internal": True})


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> msgspec.Raw:
    properties = {**required, **(optional or {})}
    return payload.encode({"type": "object", "properties": properties, "required": list(required)})


_ENTRY = {"id": _ID, "name": _TEXT, "description": _TEXT, "schema": _ANYTHING}
_SUMMARY = _object(_ENTRY, {"metadata": _ANYTHING})
_SCHEMAS = {
    "configuration::register": FunctionSchema(
        "Add an entry with the JSON Schema of its value, or change all of it but the value.",
        _object(_ENTRY, {"initial_value": _ANYTHING, "metadata": _ANYTHING}),
        _object({**_ENTRY, "value": _ANYTHING}, {"metadata": _ANYTHING}),
    ),
    "configuration::set": FunctionSchema(
        "Replace the value of an entry. null lets an entry of the bridge follow its file again.",
        _object({"id": _ID, "value": _ANYTHING}),
        _object({"old_value": _ANYTHING, "new_value": _ANYTHING}),
    ),
    "configuration::get": FunctionSchema(
        "Read a value with its ${VAR:default} replaced. With raw, as it was given.",
        _object({"id": _ID}, {"raw": {"type": "boolean", "default": False}}),
        _object({"id": _ID, "value": _ANYTHING}),
    ),
    "configuration::list": FunctionSchema(
        "Name all entries with their schemas, without their values.",
        _object({}),
        _object({"configurations": {"type": "array", "items": {"type": "object"}}}),
    ),
    "configuration::schema": FunctionSchema(
        "Describe one entry, without its value.", _object({"id": _ID}), _SUMMARY
    ),
}


class Configuration:
    """Keeps the settings of workers, and those of the bridge itself that can be changed while it runs.

    Args:
        engine: Runs the functions of triggers.
        store: Where entries are kept; it belongs to this worker alone.
        expand: Replaces the placeholders of a text; raises `LookupError` with the name of an unset variable.
        ttl_s: How long an entry outlives the last trigger that named it; 0 keeps it.
        sleep: Waits.
    """

    def __init__(
        self,
        engine: Engine,
        store: KeyValueStore,
        expand: Expand,
        *,
        ttl_s: float = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        expiry = Expiry(ttl_s, self._remove, engine.spawn, sleep)
        self._triggers = ConfigurationTriggers(engine, expiry.cancel, expiry.begin)
        self.entries = Entries(store, expand, self._triggers.announce)
        self._functions = ConfigurationFunctions(self.entries, expiry.cancel)

    def register(self) -> None:
        """Offer the `configuration::*` functions and the `configuration` trigger type."""
        functions = self._functions
        for function_id, handler in {
            "configuration::register": functions.register,
            "configuration::set": functions.set,
            "configuration::get": functions.get,
            "configuration::list": functions.list,
            "configuration::schema": functions.schema,
        }.items():
            self._engine.add_builtin(
                function_id, handler, owner_name=OWNER_NAME, schema=_SCHEMAS[function_id]
            )
        self._engine.add_trigger_type(
            TriggerType(
                id=TRIGGER_TYPE,
                description="Runs a function when a configuration entry is registered, changed or deleted.",
                provider=self._triggers,
                owner_name=OWNER_NAME,
                configuration_schema=_object(
                    {},
                    {
                        "configuration_id": _TEXT,
                        "event_types": {"type": "array", "items": _EVENT_TYPE},
                        "condition_function_id": _TEXT,
                    },
                ),
                request_schema=_object(
                    {
                        "type": {"const": "configuration"},
                        "event_type": _EVENT_TYPE,
                        **_ENTRY,
                        "old_value": _ANYTHING,
                        "new_value": _ANYTHING,
                    },
                    {"metadata": _ANYTHING},
                ),
            )
        )

    def own(self, entry: OwnedEntry, apply: Callable[[], Awaitable[None]]) -> None:
        """Add an entry of one of the bridge's own workers.

        As in iii, the worker is told of changes by a trigger `<id>::config-watch` that calls its internal
        function `<id>::on-config-change`.

        Args:
            entry: The entry.
            apply: Reads the entry again and puts it in force; what cannot be used it logs.
        """
        self.entries.own(entry)
        function_id = f"{entry.id}::on-config-change"

        async def on_change(_: Call) -> msgspec.Raw:
            await apply()
            return payload.encode({"ok": True})

        self._engine.add_builtin(
            function_id,
            on_change,
            owner_name=entry.id,
            schema=FunctionSchema(
                f"Reads the configuration {entry.id} again and applies it.", metadata=_INTERNAL
            ),
        )
        self._engine.triggers.bind(
            Binding(
                id=f"{entry.id}::config-watch",
                trigger_type=TRIGGER_TYPE,
                function_id=function_id,
                config=payload.encode(
                    {"configuration_id": entry.id, "event_types": ["configuration:updated"]}
                ),
            )
        )

    async def _remove(self, entry_id: str) -> None:
        await self.entries.remove(entry_id)
