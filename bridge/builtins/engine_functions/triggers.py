"""`engine::triggers::*`, `engine::registered-triggers::*`: trigger types and bindings (spec 05 §2.1)."""

import msgspec

from bridge.builtins.engine_functions.catalog import Catalog
from bridge.builtins.engine_functions.offer import offer
from bridge.builtins.engine_functions.owners import owner_of_type
from bridge.builtins.engine_functions.rows import (
    BindingDetail,
    BindingRow,
    OldBindingRow,
    OldTypeRow,
    TypeDetail,
    TypeRow,
)
from bridge.engine.calls import DEFAULT_NAMESPACE, Call
from bridge.engine.engine import Engine, decode_input
from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["TriggerQueries"]

_FIRST_TO_LIST_TYPES = (0, 13)
"""Before, `engine::triggers::list` meant bindings (spec 05 §2.2)."""


class TypeListInput(msgspec.Struct, frozen=True):
    """Which trigger types to list."""

    search: str | None = None
    prefix: str | None = None
    worker: str | None = None
    include_internal: bool | None = None


class TypeList(msgspec.Struct, frozen=True):
    """The trigger types found."""

    triggers: list[TypeRow]


class OldTypeList(msgspec.Struct, frozen=True):
    """The trigger types, as SDKs 0.11 and 0.12 expect them."""

    trigger_types: list[OldTypeRow]


class TypeInfoInput(msgspec.Struct, frozen=True):
    """Which trigger type to describe."""

    id: str
    namespace: str | None = None


class BindingListInput(msgspec.Struct, frozen=True):
    """Which bindings to list."""

    search: str | None = None
    trigger_type: str | None = None
    function_id: str | None = None
    worker: str | None = None
    include_internal: bool | None = None


class BindingList(msgspec.Struct, frozen=True):
    """The bindings found."""

    registered_triggers: list[BindingRow]


class OldBindingList(msgspec.Struct, frozen=True):
    """The bindings, as SDKs up to 0.12 expect them."""

    triggers: list[OldBindingRow]


class BindingInfoInput(msgspec.Struct, frozen=True):
    """Which binding to describe."""

    id: str


_type_list_input = msgspec.json.Decoder(TypeListInput)
_type_info_input = msgspec.json.Decoder(TypeInfoInput)
_binding_list_input = msgspec.json.Decoder(BindingListInput)
_binding_info_input = msgspec.json.Decoder(BindingInfoInput)


class TriggerQueries:
    """Answers what trigger types there are and what is bound to them.

    Args:
        engine: What knows them.
        catalog: What describes them.
    """

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._triggers = engine.triggers
        self._catalog = catalog

    def register(self, engine: Engine) -> None:
        """Offer `engine::triggers::*`, `engine::registered-triggers::*` and `engine::trigger-types::list`."""
        offer(
            engine,
            "engine::triggers::list",
            self.list_types,
            "Lists the trigger types.",
            takes=TypeListInput,
            returns=TypeList,
        )
        offer(
            engine,
            "engine::trigger-types::list",
            self.list_types_for_old_sdk,
            "Lists the trigger types in the shape of iii 0.11.",
            takes=TypeListInput,
            returns=OldTypeList,
        )
        offer(
            engine,
            "engine::triggers::info",
            self.type_info,
            "Describes a trigger type with its schemas.",
            takes=TypeInfoInput,
            returns=TypeDetail,
        )
        offer(
            engine,
            "engine::registered-triggers::list",
            self.list_bindings,
            "Lists the triggers in force.",
            takes=BindingListInput,
            returns=BindingList,
        )
        offer(
            engine,
            "engine::registered-triggers::info",
            self.binding_info,
            "Describes a trigger with its type and its function.",
            takes=BindingInfoInput,
            returns=BindingDetail,
        )

    async def list_types(self, call: Call) -> msgspec.Raw:
        """List trigger types by id; to SDKs up to 0.12, the bindings."""
        asked = decode_input(call, _type_list_input)
        if call.caller is not None and call.caller.predates(*_FIRST_TO_LIST_TYPES):
            return self._list_for_old_sdk(include_internal=bool(asked.include_internal))
        rows = [
            self._catalog.type_row(each)
            for each in self._triggers.types
            if (asked.include_internal or not each.id.startswith("engine::"))
            and each.id.startswith(asked.prefix or "")
            and asked.worker in (None, owner_of_type(each))
            and _contains(asked.search, each.id, each.description)
        ]
        return payload.encode(TypeList(sorted(rows, key=lambda row: (row.id, row.namespace))))

    async def list_types_for_old_sdk(self, call: Call) -> msgspec.Raw:
        """List trigger types under the name and in the shape of 0.11 and 0.12."""
        asked = decode_input(call, _type_list_input)
        rows = [
            self._catalog.old_type_row(each)
            for each in self._triggers.types
            if asked.include_internal or not each.id.startswith("engine::")
        ]
        return payload.encode(OldTypeList(sorted(rows, key=lambda row: row.id)))

    async def type_info(self, call: Call) -> msgspec.Raw:
        """Describe a trigger type.

        Raises:
            FunctionFailedError: `NOT_FOUND`.
        """
        asked = decode_input(call, _type_info_input)
        namespace = asked.namespace or DEFAULT_NAMESPACE
        found = self._triggers.find_type(asked.id, namespace)
        if found is None:
            raise FunctionFailedError(
                "NOT_FOUND", f"Trigger type '{asked.id}' is not registered in namespace '{namespace}'."
            )
        return payload.encode(self._catalog.type_detail(found))

    async def list_bindings(self, call: Call) -> msgspec.Raw:
        """List the bindings in force, by id."""
        asked = decode_input(call, _binding_list_input)
        rows = [
            self._catalog.binding_row(each)
            for each in self._triggers.bindings
            if (asked.include_internal or not each.function_id.startswith("engine::"))
            and asked.trigger_type in (None, each.trigger_type)
            and asked.function_id in (None, each.function_id)
            and _contains(asked.search, each.id, each.trigger_type, each.function_id)
        ]
        wanted = [row for row in rows if asked.worker in (None, row.worker_name)]
        return payload.encode(BindingList(sorted(wanted, key=lambda row: row.id)))

    async def binding_info(self, call: Call) -> msgspec.Raw:
        """Describe a binding, in force or waiting for its type.

        Raises:
            FunctionFailedError: `NOT_FOUND`.
        """
        asked = decode_input(call, _binding_info_input)
        found = self._triggers.find(asked.id)
        if found is None:
            raise FunctionFailedError("NOT_FOUND", f"Registered trigger '{asked.id}' was not found.")
        return payload.encode(self._catalog.binding_detail(found))

    def _list_for_old_sdk(self, *, include_internal: bool) -> msgspec.Raw:
        return payload.encode(
            OldBindingList(
                [
                    self._catalog.old_binding_row(each)
                    for each in self._triggers.bindings
                    if include_internal or not each.function_id.startswith("engine::")
                ]
            )
        )


def _contains(needle: str | None, *texts: str) -> bool:
    return not needle or any(needle.lower() in text.lower() for text in texts)
