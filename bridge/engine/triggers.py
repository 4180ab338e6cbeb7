"""Trigger types and the bindings made to them (spec 01 §5)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from bridge.engine.calls import DEFAULT_NAMESPACE
from bridge.engine.workers import Worker
from bridge.errors import BridgeError
from bridge.protocol.outbound import TriggerBound, TriggerUnbound
from bridge.protocol.payload import absent

__all__ = ["Binding", "TriggerProvider", "TriggerRegistry", "TriggerType", "WorkerTriggers"]


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A trigger: what causes a function to run.

    Attributes:
        id: Chosen by the SDK, stable over reconnects.
        trigger_type: The type it is bound to, for example `cron`.
        function_id: The function to run; it need not exist yet.
        config: The type's own settings, as raw JSON.
        metadata: The sidecar that the function gets with every firing.
        namespace: Where the function is looked up.
        type_namespace: Where the type must be found; `None` looks in the owner's namespace, then `default`.
        owner: The worker it leaves with; `None` for a binding made by a function call.
    """

    id: str
    trigger_type: str
    function_id: str
    config: msgspec.Raw
    metadata: msgspec.Raw = field(default_factory=absent)
    namespace: str = DEFAULT_NAMESPACE
    type_namespace: str | None = None
    owner: Worker | None = None


class TriggerProvider(Protocol):
    """What makes bindings of one trigger type fire."""

    def bind(self, binding: Binding) -> None:
        """Put a binding in force.

        Raises:
            TriggerRejectedError: The configuration cannot be used.
        """

    def unbind(self, binding: Binding) -> None:
        """Take a binding out of force."""


@dataclass(frozen=True, slots=True)
class TriggerType:
    """A kind of trigger somebody provides.

    Attributes:
        id: For example `http`.
        provider: The bridge's own provider, or a worker's.
        owner_name: The iii worker it belongs to, for example `iii-http`; `None` for a connected worker's.
    """

    id: str
    description: str
    provider: TriggerProvider
    namespace: str = DEFAULT_NAMESPACE
    owner_name: str | None = None
    configuration_schema: msgspec.Raw = field(default_factory=absent)
    request_schema: msgspec.Raw = field(default_factory=absent)
    response_schema: msgspec.Raw = field(default_factory=absent)


@dataclass(frozen=True, slots=True)
class WorkerTriggers:
    """A trigger type that a worker provides: the worker is told of bindings and fires them itself."""

    worker: Worker

    def bind(self, binding: Binding) -> None:
        """Send the binding to the worker."""
        self.worker.send(
            TriggerBound(
                id=binding.id,
                trigger_type=binding.trigger_type,
                function_id=binding.function_id,
                config=binding.config,
                metadata=binding.metadata,
                namespace=None if binding.namespace == DEFAULT_NAMESPACE else binding.namespace,
                trigger_namespace=None
                if self.worker.namespace == DEFAULT_NAMESPACE
                else self.worker.namespace,
            )
        )

    def unbind(self, binding: Binding) -> None:
        """Tell the worker that the binding is gone."""
        self.worker.send(TriggerUnbound(id=binding.id, trigger_type=binding.trigger_type))


class TriggerRegistry:
    """All trigger types and bindings. A binding whose type nobody provides is parked until somebody does."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], TriggerType] = {}
        self._bindings: dict[str, Binding] = {}
        self._provided_by: dict[str, TriggerType] = {}

    def provide(self, trigger_type: TriggerType) -> dict[Binding, BridgeError]:
        """Add or replace a trigger type and hand it the bindings that wait for it.

        Returns:
            The bindings the provider refused, and why; they are parked.
        """
        key = (trigger_type.namespace, trigger_type.id)
        replaced = self._types.get(key)
        self._types[key] = trigger_type
        refused: dict[Binding, BridgeError] = {}
        for binding in list(self._bindings.values()):
            current = self._provided_by.get(binding.id)
            if self._resolve(binding) is not trigger_type or (
                current is not None and current is not replaced
            ):
                continue
            try:
                trigger_type.provider.bind(binding)
                self._provided_by[binding.id] = trigger_type
            except BridgeError as exc:
                refused[binding] = exc
        return refused

    def withdraw(self, provider: TriggerProvider, type_id: str, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Remove a trigger type, if this provider still provides it; its bindings are parked."""
        trigger_type = self._types.get((namespace, type_id))
        if trigger_type is None or trigger_type.provider != provider:
            return
        del self._types[namespace, type_id]
        self._provided_by = {
            binding_id: each for binding_id, each in self._provided_by.items() if each is not trigger_type
        }

    def bind(self, binding: Binding) -> None:
        """Put a binding in force, or park it; the same id replaces the earlier binding.

        Raises:
            TriggerRejectedError: The provider refused the configuration; the binding does not exist.
        """
        self.unbind(binding.id)
        trigger_type = self._resolve(binding)
        if trigger_type is not None:
            trigger_type.provider.bind(binding)
            self._provided_by[binding.id] = trigger_type
        self._bindings[binding.id] = binding

    def unbind(self, binding_id: str) -> Binding | None:
        """Remove a binding; returns it, or `None` when the id is unknown."""
        binding = self._bindings.pop(binding_id, None)
        trigger_type = self._provided_by.pop(binding_id, None)
        if binding is not None and trigger_type is not None:
            trigger_type.provider.unbind(binding)
        return binding

    def park(self, binding_id: str) -> Binding | None:
        """Take a binding out of force that its provider refused after the fact (spec 01 §5.3)."""
        self._provided_by.pop(binding_id, None)
        return self._bindings.get(binding_id)

    def disconnect(self, worker: Worker) -> None:
        """Remove the bindings a worker owns and the types it provides."""
        for binding in [each for each in self._bindings.values() if each.owner is worker]:
            self.unbind(binding.id)
        own = WorkerTriggers(worker)
        for trigger_type in [each for each in self._types.values() if each.provider == own]:
            self.withdraw(own, trigger_type.id, trigger_type.namespace)

    def provider_of(self, binding_id: str) -> TriggerType | None:
        """Return the type that keeps a binding in force; `None` when it is parked or unknown."""
        return self._provided_by.get(binding_id)

    def find_type(self, type_id: str, namespace: str = DEFAULT_NAMESPACE) -> TriggerType | None:
        """Return a trigger type."""
        return self._types.get((namespace, type_id))

    def find(self, binding_id: str) -> Binding | None:
        """Return a binding, in force or parked."""
        return self._bindings.get(binding_id)

    @property
    def types(self) -> Iterator[TriggerType]:
        """Every trigger type."""
        return iter(list(self._types.values()))

    @property
    def bindings(self) -> Iterator[Binding]:
        """Every binding in force."""
        return (each for each in list(self._bindings.values()) if each.id in self._provided_by)

    def _resolve(self, binding: Binding) -> TriggerType | None:
        if binding.type_namespace is not None:
            return self._types.get((binding.type_namespace, binding.trigger_type))
        own = binding.owner.namespace if binding.owner else DEFAULT_NAMESPACE
        return self._types.get((own, binding.trigger_type)) or self._types.get(
            (DEFAULT_NAMESPACE, binding.trigger_type)
        )
