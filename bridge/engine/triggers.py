"""Trigger types and the bindings made to them (spec 01 §5)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from bridge.engine.calls import DEFAULT_NAMESPACE, error_body
from bridge.engine.workers import Worker
from bridge.errors import BridgeError, TriggerRejectedError
from bridge.protocol.inbound import ErrorBody
from bridge.protocol.outbound import TriggerBound, TriggerRejected, TriggerUnbound
from bridge.protocol.payload import absent

__all__ = ["Binding", "TriggerProvider", "TriggerRegistry", "TriggerType", "WorkerTriggers"]

log = structlog.get_logger("bridge.triggers")

MOST_BINDINGS = 5_000
"""How many bindings there may be to a type that the bridge does not provide: a worker that provides it is
handed all of them at once."""


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
        """Send the binding to the worker.

        Raises:
            CapacityError: It is larger than the worker's SDK can take.
            BusyError: Too much waits for the worker already.
        """
        texts = (binding.id, binding.trigger_type, binding.function_id)
        if too_large := self.worker.refusal_of(len(binding.config) + len(binding.metadata), *texts):
            raise too_large
        if busy := self.worker.refusal_of_more():
            raise busy
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
    """All trigger types and bindings. A binding whose type nobody provides is parked until somebody does.

    Of several providers of one type the newest is in force; the one before it takes over when it leaves.
    """

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], list[TriggerType]] = {}
        self._bindings: dict[str, Binding] = {}
        self._by_type: dict[str, dict[str, Binding]] = {}
        self._in_force: dict[str, TriggerType] = {}
        self._answers: dict[str, Callable[[ErrorBody | None], None]] = {}

    def provide(self, trigger_type: TriggerType) -> None:
        """Add a trigger type, or replace what its provider said of it, and hand over the bindings made to it.

        A binding the provider refuses is parked, and its owner told.
        """
        key = (trigger_type.namespace, trigger_type.id)
        others = [each for each in self._types.get(key, ()) if each.provider != trigger_type.provider]
        self._types[key] = [*others, trigger_type]
        for binding in self._bound_to(trigger_type.id):
            if self._resolve(binding) is trigger_type:
                self._hand_over(binding, trigger_type)

    def withdraw(self, provider: TriggerProvider, type_id: str, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Remove a provider of a trigger type; its bindings go to whoever else provides it, or are parked."""
        key = (namespace, type_id)
        providers = self._types.get(key, [])
        withdrawn = next((each for each in providers if each.provider == provider), None)
        if withdrawn is None:
            return
        providers.remove(withdrawn)
        if not providers:
            del self._types[key]
        for binding in [each for each in self._bound_to(type_id) if self._in_force.get(each.id) is withdrawn]:
            del self._in_force[binding.id]
            if successor := self._resolve(binding):
                self._hand_over(binding, successor)

    def bind(self, binding: Binding) -> None:
        """Put a binding in force, or park it; the same id replaces the earlier binding.

        Raises:
            BridgeError: The provider refused the configuration, or the type has too many bindings; this one
                does not exist.
        """
        self.unbind(binding.id)
        trigger_type = self._resolve(binding)
        is_ours = trigger_type is not None and trigger_type.owner_name is not None
        if not is_ours and len(self._by_type.get(binding.trigger_type, ())) >= MOST_BINDINGS:
            raise TriggerRejectedError(
                f"Trigger type '{binding.trigger_type}' has {MOST_BINDINGS} bindings, the most that a worker "
                "can be given; have fewer triggers with richer configurations."
            )
        if trigger_type is not None:
            trigger_type.provider.bind(binding)
            self._in_force[binding.id] = trigger_type
        self._bindings[binding.id] = binding
        self._by_type.setdefault(binding.trigger_type, {})[binding.id] = binding

    def unbind(self, binding_id: str) -> Binding | None:
        """Remove a binding; returns it, or `None` when the id is unknown."""
        binding = self._bindings.pop(binding_id, None)
        if binding is not None:
            same_type = self._by_type[binding.trigger_type]
            del same_type[binding_id]
            if not same_type:
                del self._by_type[binding.trigger_type]
        trigger_type = self._in_force.pop(binding_id, None)
        self._answers.pop(binding_id, None)
        if binding is not None and trigger_type is not None:
            trigger_type.provider.unbind(binding)
        return binding

    def expect_answer(self, binding_id: str, on_answer: Callable[[ErrorBody | None], None]) -> None:
        """Have the provider's answer to a binding told: its error, or `None` when it accepted.

        Nothing is told when the binding is removed first.
        """
        self._answers[binding_id] = on_answer

    def expect_no_answer(self, binding_id: str) -> None:
        """Have the provider's answer told no more: nobody waits for it."""
        self._answers.pop(binding_id, None)

    def settle(self, provider: TriggerProvider, binding_id: str, error: ErrorBody | None) -> None:
        """Take a provider's answer to a binding; one that it refused is parked, and its owner told.

        Only the provider in force is listened to (spec 01 §5.3).
        """
        trigger_type = self._in_force.get(binding_id)
        if trigger_type is None or trigger_type.provider != provider:
            return
        if error is not None:
            del self._in_force[binding_id]
            _tell_owner(self._bindings[binding_id], error)
        if on_answer := self._answers.pop(binding_id, None):
            on_answer(error)

    def disconnect(self, worker: Worker) -> None:
        """Remove the bindings a worker owns and the types it provides."""
        for binding in [each for each in self._bindings.values() if each.owner is worker]:
            self.unbind(binding.id)
        own = WorkerTriggers(worker)
        for trigger_type in [each for same in self._types.values() for each in same if each.provider == own]:
            self.withdraw(own, trigger_type.id, trigger_type.namespace)

    def provider_of(self, binding_id: str) -> TriggerType | None:
        """Return the type that keeps a binding in force; `None` when it is parked or unknown."""
        return self._in_force.get(binding_id)

    def find_type(self, type_id: str, namespace: str = DEFAULT_NAMESPACE) -> TriggerType | None:
        """Return a trigger type."""
        providers = self._types.get((namespace, type_id))
        return providers[-1] if providers else None

    def find(self, binding_id: str) -> Binding | None:
        """Return a binding, in force or parked."""
        return self._bindings.get(binding_id)

    @property
    def types(self) -> Iterator[TriggerType]:
        """Every trigger type in force."""
        return (same[-1] for same in list(self._types.values()))

    @property
    def bindings(self) -> Iterator[Binding]:
        """Every binding in force."""
        return (each for each in list(self._bindings.values()) if each.id in self._in_force)

    def _bound_to(self, type_id: str) -> list[Binding]:
        """Return the bindings to a type, whoever provides it, in force or parked."""
        return list(self._by_type.get(type_id, {}).values())

    def _hand_over(self, binding: Binding, trigger_type: TriggerType) -> None:
        """Bring a binding to a type that has come to be in force for it."""
        previous = self._in_force.pop(binding.id, None)
        if previous is not None and previous.provider != trigger_type.provider:
            previous.provider.unbind(binding)
        try:
            trigger_type.provider.bind(binding)
        except BridgeError as exc:
            log.warning("trigger rejected", trigger_id=binding.id, reason=str(exc))
            _tell_owner(binding, error_body(exc))
        else:
            self._in_force[binding.id] = trigger_type

    def _resolve(self, binding: Binding) -> TriggerType | None:
        if binding.type_namespace is not None:
            return self.find_type(binding.trigger_type, binding.type_namespace)
        own = binding.owner.namespace if binding.owner else DEFAULT_NAMESPACE
        return self.find_type(binding.trigger_type, own) or self.find_type(binding.trigger_type)


def _tell_owner(binding: Binding, error: ErrorBody) -> None:
    owner = binding.owner
    if owner is None:
        return
    if too_large := owner.refusal_of(0, error.code, error.message, error.stacktrace):
        error = ErrorBody(error.code[:100], str(too_large))
    owner.send(TriggerRejected(binding.id, binding.trigger_type, binding.function_id, error))
