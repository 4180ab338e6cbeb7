"""What introspection shows of the functions and trigger types of streams."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.engine.functions import FunctionSchema
from bridge.protocol import payload

__all__ = [
    "CHANGE_CONFIGURATION",
    "CHANGE_EVENT",
    "FUNCTION_SCHEMAS",
    "GATE_CONFIGURATION",
    "GATE_EVENT",
    "JOIN_ANSWER",
]

_TEXT = {"type": "string"}
_OPTIONAL_TEXT = {"type": ["string", "null"]}
_ANYTHING: Mapping[str, Any] = {}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> msgspec.Raw:
    properties = {**required, **(optional or {})}
    return payload.encode({"type": "object", "properties": properties, "required": list(required)})


_STREAM = {"stream_name": _TEXT}
_GROUP = {**_STREAM, "group_id": _TEXT}
_ITEM = {**_GROUP, "item_id": _TEXT}
_WRITE_ANSWER = _object({"old_value": _ANYTHING, "new_value": _ANYTHING}, {"errors": {"type": "array"}})
_ARRAY = payload.encode({"type": "array"})

FUNCTION_SCHEMAS = {
    "stream::set": FunctionSchema(
        "Store an item and tell subscribers.", _object({**_ITEM, "data": _ANYTHING}), _WRITE_ANSWER
    ),
    "stream::get": FunctionSchema("Read an item.", _object(_ITEM)),
    "stream::delete": FunctionSchema(
        "Remove an item and tell subscribers.", _object(_ITEM), _object({"old_value": _ANYTHING})
    ),
    "stream::update": FunctionSchema(
        "Change an item with a list of operations: set, merge, increment, decrement, append, remove.",
        _object({**_ITEM, "ops": {"type": "array", "items": {"type": "object"}}}),
        _WRITE_ANSWER,
    ),
    "stream::list": FunctionSchema("Read all items of a group.", _object(_GROUP), _ARRAY),
    "stream::list_groups": FunctionSchema("Name the groups of a stream.", _object(_STREAM), _ARRAY),
    "stream::list_all": FunctionSchema(
        "Name all streams and their groups.",
        _object({}),
        _object({"stream": {"type": "array"}, "count": {"type": "integer"}}),
    ),
    "stream::send": FunctionSchema(
        "Send a message to the subscribers of a group without storing it.",
        _object({**_GROUP, "type": _TEXT, "data": _ANYTHING}, {"id": _OPTIONAL_TEXT}),
    ),
}

CHANGE_CONFIGURATION = _object(_STREAM, {"group_id": _TEXT, "item_id": _TEXT, "condition_function_id": _TEXT})
CHANGE_EVENT = _object(
    {
        "type": {"const": "stream"},
        "timestamp": {"type": "integer"},
        "streamName": _TEXT,
        "groupId": _TEXT,
        "id": _OPTIONAL_TEXT,
        "event": {"type": "object"},
    }
)
GATE_CONFIGURATION = _object({})
GATE_EVENT = _object({"subscription_id": _TEXT, **_GROUP, "id": _OPTIONAL_TEXT, "context": _ANYTHING})
JOIN_ANSWER = _object({}, {"unauthorized": {"type": "boolean"}})
