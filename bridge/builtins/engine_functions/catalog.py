"""What is registered with the engine now, as rows (spec 05 §2)."""

import msgspec

from bridge.builtins.engine_functions.owners import owner_of_function, owner_of_type
from bridge.builtins.engine_functions.rows import (
    BindingDetail,
    BindingRow,
    BindingSummary,
    FunctionDetail,
    FunctionRow,
    OldBindingRow,
    OldTypeRow,
    TypeDetail,
    TypeRow,
)
from bridge.engine.calls import DEFAULT_NAMESPACE
from bridge.engine.engine import Engine
from bridge.engine.functions import Function
from bridge.engine.triggers import Binding, TriggerType
from bridge.protocol.payload import is_present

__all__ = ["Catalog"]

_SUMMARY_LENGTH = 80


class _Format(msgspec.Struct, frozen=True):
    name: str
    type: str


_format = msgspec.json.Decoder(_Format)


class Catalog:
    """Describes functions, trigger types and bindings.

    Args:
        engine: What knows them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def function_row(self, function: Function) -> FunctionRow:
        """Describe a function briefly."""
        return FunctionRow(
            function_id=function.id,
            namespace=function.namespace,
            worker_name=owner_of_function(function),
            description=function.schema.description,
            metadata=_present(function.schema.metadata),
            request_format=_old_format(function.schema.request_format),
            response_format=_old_format(function.schema.response_format),
        )

    def function_detail(self, function: Function) -> FunctionDetail:
        """Describe a function with its schemas and what triggers it."""
        target = (function.namespace, function.id)
        bound = [
            each for each in self._engine.triggers.bindings if (each.namespace, each.function_id) == target
        ]
        return FunctionDetail(
            function_id=function.id,
            namespace=function.namespace,
            worker_name=owner_of_function(function),
            registered_triggers=[BindingSummary(each.id, each.trigger_type, each.config) for each in bound],
            description=function.schema.description,
            request_schema=_present(function.schema.request_format),
            response_schema=_present(function.schema.response_format),
            metadata=_present(function.schema.metadata),
        )

    def find_function(self, function_id: str, namespace: str | None) -> Function | list[str]:
        """Look a function up; without a namespace `default` is preferred to the only other one.

        Returns:
            The function, or the namespaces it could be meant in: several, or none.
        """
        functions = self._engine.functions
        if found := functions.find(function_id, namespace or DEFAULT_NAMESPACE):
            return found
        elsewhere = [] if namespace else functions.namespaces_of(function_id)
        only = functions.find(function_id, elsewhere[0]) if len(elsewhere) == 1 else None
        return only or elsewhere

    def type_row(self, trigger_type: TriggerType) -> TypeRow:
        """Describe a trigger type briefly."""
        return TypeRow(
            trigger_type.id, trigger_type.namespace, owner_of_type(trigger_type), trigger_type.description
        )

    def type_detail(self, trigger_type: TriggerType) -> TypeDetail:
        """Describe a trigger type with its schemas."""
        in_force = [self._engine.triggers.provider_of(each.id) for each in self._engine.triggers.bindings]
        return TypeDetail(
            id=trigger_type.id,
            namespace=trigger_type.namespace,
            worker_name=owner_of_type(trigger_type),
            description=trigger_type.description,
            instance_count=in_force.count(trigger_type),
            configuration_schema=_present(trigger_type.configuration_schema),
            request_schema=_present(trigger_type.request_schema),
            response_schema=_present(trigger_type.response_schema),
        )

    def old_type_row(self, trigger_type: TriggerType) -> OldTypeRow:
        """Describe a trigger type as SDKs 0.11 and 0.12 expect it."""
        return OldTypeRow(
            id=trigger_type.id,
            description=trigger_type.description,
            trigger_request_format=_present(trigger_type.configuration_schema),
            call_request_format=_present(trigger_type.request_schema),
        )

    def binding_row(self, binding: Binding) -> BindingRow:
        """Describe a binding briefly."""
        return BindingRow(
            id=binding.id,
            trigger_type=binding.trigger_type,
            function_id=binding.function_id,
            worker_name=self._owner_of_target(binding),
            config=binding.config,
            config_summary=_summary(binding.config),
        )

    def old_binding_row(self, binding: Binding) -> OldBindingRow:
        """Describe a binding as SDKs up to 0.12 expect it."""
        return OldBindingRow(
            id=binding.id,
            trigger_type=binding.trigger_type,
            function_id=binding.function_id,
            config=binding.config,
            metadata=_present(binding.metadata),
        )

    def binding_detail(self, binding: Binding) -> BindingDetail:
        """Describe a binding with its type and its function."""
        trigger_type = self._engine.triggers.provider_of(binding.id)
        function = self._engine.functions.find(binding.function_id, binding.namespace)
        return BindingDetail(
            id=binding.id,
            trigger_type=binding.trigger_type,
            function_id=binding.function_id,
            worker_name=self._owner_of_target(binding),
            config=binding.config,
            trigger=self.type_detail(trigger_type) if trigger_type else None,
            function=self.function_detail(function) if function else None,
            metadata=_present(binding.metadata),
        )

    def _owner_of_target(self, binding: Binding) -> str:
        function = self._engine.functions.find(binding.function_id, binding.namespace)
        return owner_of_function(function) if function else binding.function_id.partition("::")[0]


def _present(value: msgspec.Raw) -> msgspec.Raw | msgspec.UnsetType:
    return value if is_present(value) else msgspec.UNSET


def _old_format(schema: msgspec.Raw) -> msgspec.Raw | msgspec.UnsetType:
    """Return a format of the kind that SDK 0.9 knows; it cannot list functions that show a JSON Schema."""
    try:
        _format.decode(schema)
    except msgspec.MsgspecError:
        return msgspec.UNSET
    return schema


def _summary(config: msgspec.Raw) -> str:
    text = msgspec.json.format(bytes(config), indent=-1).decode()
    return text if len(text) <= _SUMMARY_LENGTH else f"{text[:_SUMMARY_LENGTH]}…"
