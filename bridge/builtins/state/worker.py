"""What the `iii-state` worker offers to the engine."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bridge.builtins.state.functions import EVENTS_TOPIC, StateFunctions, StateSettings
from bridge.builtins.state.triggers import StateTriggers
from bridge.engine.engine import Engine
from bridge.engine.functions import FunctionSchema
from bridge.engine.triggers import TriggerType
from bridge.protocol import payload
from bridge.storage.broker import Broker, Subscriber
from bridge.storage.port import KeyValueStore

__all__ = ["State", "StateSettings"]

OWNER_NAME = "iii-state"

_TEXT = {"type": "string"}
_ANYTHING: Mapping[str, Any] = {}
_VERSION = {"type": "integer", "minimum": 0}
_ENTRY = {"scope": _TEXT, "key": _TEXT}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> msgspec.Raw:
    properties = {**required, **(optional or {})}
    return payload.encode({"type": "object", "properties": properties, "required": list(required)})


_WRITE_ANSWER = _object(
    {"old_value": _ANYTHING, "new_value": _ANYTHING}, {"errors": {"type": "array"}, "version": _VERSION}
)

_SCHEMAS = {
    "state::set": FunctionSchema(
        "Store a value. With expected_version, only if the entry is at that version; 0 expects no entry.",
        _object({**_ENTRY, "value": _ANYTHING}, {"expected_version": _VERSION}),
        _WRITE_ANSWER,
    ),
    "state::get": FunctionSchema(
        "Read a value. With with_version, as an object that holds its value and version.",
        _object(_ENTRY, {"with_version": {"type": "boolean"}}),
    ),
    "state::delete": FunctionSchema(
        "Remove an entry and return its value.", _object(_ENTRY, {"expected_version": _VERSION})
    ),
    "state::update": FunctionSchema(
        "Change a value with a list of operations: set, merge, increment, decrement, append, remove.",
        _object({**_ENTRY, "ops": {"type": "array", "items": {"type": "object"}}}),
        _WRITE_ANSWER,
    ),
    "state::list": FunctionSchema(
        "Read all values of a scope.", _object({"scope": _TEXT}), payload.encode({"type": "array"})
    ),
    "state::list_groups": FunctionSchema(
        "Name the scopes that hold entries.",
        _object({}),
        _object({"groups": {"type": "array", "items": _TEXT}}),
    ),
}


class State:
    """Serves state from a store.

    Args:
        store: Where the entries are kept; it belongs to state alone.
        broker: Connects the bridges that share the store; it belongs to state alone.
        settings: How state behaves.
    """

    def __init__(self, store: KeyValueStore, broker: Broker, settings: StateSettings) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._functions = StateFunctions(store, settings, broker)
        self._hear: Callable[[bytes], None] | None = None

    async def apply(self, settings: StateSettings) -> None:
        """Change the settings while running; a call that runs may still go by the old ones.

        Raises:
            StorageError: The broker does not answer; triggers may miss events for a moment.

        Cancellation: safe; the settings hold.
        """
        self._settings = settings
        self._functions.apply(settings)
        self._listen()
        await self._broker.settle()

    def register(self, engine: Engine) -> None:
        """Offer the `state::*` functions and the `state` trigger type."""
        triggers = StateTriggers(engine)
        self._hear = triggers.receive
        self._listen()
        functions = self._functions
        for function_id, handler in {
            "state::set": functions.set,
            "state::get": functions.get,
            "state::delete": functions.delete,
            "state::update": functions.update,
            "state::list": functions.list,
            "state::list_groups": functions.list_groups,
        }.items():
            engine.add_builtin(function_id, handler, owner_name=OWNER_NAME, schema=_SCHEMAS[function_id])
        engine.add_trigger_type(
            TriggerType(
                id="state",
                description="Runs a function when an entry is created, updated or deleted.",
                provider=triggers,
                owner_name=OWNER_NAME,
                configuration_schema=_object(
                    {}, {"scope": _TEXT, "key": _TEXT, "condition_function_id": _TEXT}
                ),
                request_schema=_object(
                    {
                        "type": {"const": "state"},
                        "event_type": {"enum": ["state:created", "state:updated", "state:deleted"]},
                        **_ENTRY,
                        "old_value": _ANYTHING,
                        "new_value": _ANYTHING,
                    }
                ),
            )
        )

    def _listen(self) -> None:
        """Hear of writes on all bridges, if triggers are to fire."""
        if self._hear is not None and self._settings.triggers_enabled:
            self._broker.subscribe(EVENTS_TOPIC, Subscriber(self._hear))
        else:
            self._broker.unsubscribe(EVENTS_TOPIC)
