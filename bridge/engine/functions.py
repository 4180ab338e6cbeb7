"""Who offers which function (spec 01 §3.5)."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from bridge.engine.calls import DEFAULT_NAMESPACE, Call
from bridge.engine.workers import Worker
from bridge.protocol.payload import absent

__all__ = ["BuiltinHandler", "DuplicatePolicy", "Function", "FunctionRegistry", "FunctionSchema"]

BuiltinHandler = Callable[[Call], Awaitable[msgspec.Raw]]
"""A built-in function: takes the call, returns its result (`ABSENT` for none), raises `BridgeError`."""

DuplicatePolicy = Literal["balance", "last-wins", "reject"]


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """What introspection shows of a function; the bridge itself never looks at it."""

    description: str | None = None
    request_format: msgspec.Raw = field(default_factory=absent)
    response_format: msgspec.Raw = field(default_factory=absent)
    metadata: msgspec.Raw = field(default_factory=absent)


@dataclass(frozen=True, slots=True)
class Function:
    """One offer of a function, by a worker or by the bridge itself.

    Attributes:
        id: The function id.
        namespace: Where it is found.
        provider: The worker, or the built-in handler.
        owner_name: The iii worker a built-in belongs to, for example `iii-state`.
    """

    id: str
    namespace: str
    provider: Worker | BuiltinHandler
    schema: FunctionSchema = FunctionSchema()
    owner_name: str | None = None


@dataclass(slots=True)
class _Offers:
    offers: list[Function] = field(default_factory=list)
    turn: int = 0


class FunctionRegistry:
    """Every function on offer, by namespace and id; several workers may offer the same one.

    Args:
        duplicates: What a second worker offering the same function means. `balance` spreads the calls over
            all of them, `last-wins` gives all calls to the newcomer, `reject` refuses it.
        on_offered: Called with the id of each function that a worker has begun to offer.
    """

    def __init__(self, duplicates: DuplicatePolicy, on_offered: Callable[[str], None]) -> None:
        self.duplicates = duplicates
        self._on_offered = on_offered
        self._functions: dict[tuple[str, str], _Offers] = {}
        self._offered_by: dict[Worker, set[tuple[str, str]]] = {}

    def offer(self, function: Function) -> Worker | None:
        """Add an offer; the same provider offering again replaces what it offered.

        Returns:
            The worker that owns the function, when the newcomer is refused.
        """
        entry = self._functions.setdefault((function.namespace, function.id), _Offers())
        others = [each for each in entry.offers if each.provider is not function.provider]
        if isinstance(function.provider, Worker):
            incumbents = [each.provider for each in others if isinstance(each.provider, Worker)]
            if incumbents and self.duplicates == "reject":
                return incumbents[0]
            # A worker's own function takes the place of a built-in one (spec 01 §3.5).
            others = [each for each in others if isinstance(each.provider, Worker)]
            if self.duplicates == "last-wins":
                others = []
        entry.offers = [*others, function]
        if isinstance(function.provider, Worker):
            self._offered_by.setdefault(function.provider, set()).add((function.namespace, function.id))
            self._on_offered(function.id)
        return None

    def withdraw(self, worker: Worker, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Remove a worker's offer; does nothing when the worker is not offering the function."""
        entry = self._functions.get((namespace, function_id))
        if entry is None:
            return
        entry.offers = [each for each in entry.offers if each.provider is not worker]
        self._offered_by.get(worker, set()).discard((namespace, function_id))
        if not entry.offers:
            del self._functions[namespace, function_id]

    def withdraw_all(self, worker: Worker) -> None:
        """Remove everything a worker offers."""
        for namespace, function_id in list(self._offered_by.get(worker, ())):
            self.withdraw(worker, function_id, namespace)
        self._offered_by.pop(worker, None)

    def pick(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> Function | None:
        """Choose who runs the next call: the providers take turns."""
        entry = self._functions.get((namespace, function_id))
        if entry is None:
            return None
        entry.turn = (entry.turn + 1) % len(entry.offers)
        return entry.offers[entry.turn]

    def find(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> Function | None:
        """Return the newest offer of a function, without taking a turn."""
        entry = self._functions.get((namespace, function_id))
        return entry.offers[-1] if entry else None

    def namespaces_of(self, function_id: str) -> list[str]:
        """Return the namespaces in which a function is on offer."""
        return sorted(namespace for namespace, each in self._functions if each == function_id)

    def offered_by(self, worker: Worker) -> list[Function]:
        """Return what a worker offers."""
        keys = sorted(self._offered_by.get(worker, ()))
        return [each for key in keys for each in self._functions[key].offers if each.provider is worker]

    def __iter__(self) -> Iterator[Function]:
        """Iterate over every offer."""
        for entry in list(self._functions.values()):
            yield from entry.offers

    def __contains__(self, function_id: str) -> bool:
        """Tell whether a function is on offer in the default namespace."""
        return (DEFAULT_NAMESPACE, function_id) in self._functions
