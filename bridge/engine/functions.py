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
        provider: Who runs it: a worker, or a handler in the bridge.
        owner_name: The iii worker a built-in belongs to, for example `iii-state`.
        registrar: The worker that registered a function which the bridge runs for it, behind a URL.
    """

    id: str
    namespace: str
    provider: Worker | BuiltinHandler
    schema: FunctionSchema = FunctionSchema()
    owner_name: str | None = None
    registrar: Worker | None = None

    @property
    def worker(self) -> Worker | None:
        """The worker it leaves with; `None` for the bridge's own."""
        return self.provider if isinstance(self.provider, Worker) else self.registrar

    @property
    def has_room(self) -> bool:
        """Whether another call may wait for who runs it."""
        return not isinstance(self.provider, Worker) or self.provider.has_room()


@dataclass(slots=True)
class _Offers:
    """Who offers one function.

    Attributes:
        builtin: The bridge's own function: a worker's takes its place as long as the worker stays.
        replicas: The workers' offers, the newest last.
        turn: Whose turn it was last.
    """

    builtin: Function | None = None
    replicas: list[Function] = field(default_factory=list)
    turn: int = 0

    def take_turn(self) -> Function | None:
        chosen = self.builtin
        for _ in self.replicas:
            self.turn = (self.turn + 1) % len(self.replicas)
            chosen = self.replicas[self.turn]
            if chosen.has_room:
                break
        return chosen

    @property
    def all(self) -> list[Function]:
        return self.replicas or ([self.builtin] if self.builtin else [])


class FunctionRegistry:
    """Every function on offer, by namespace and id; several workers may offer the same one.

    Args:
        duplicates: What a second worker offering the same function means. `balance` spreads the calls over
            all of them, `last-wins` gives all calls to the newcomer, `reject` refuses it, unless its SDK is
            too old to be told: then the newcomer wins, as it did then (spec 01 §3.5).
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
        key = (function.namespace, function.id)
        entry = self._functions.setdefault(key, _Offers())
        newcomer = function.worker
        if newcomer is None:
            entry.builtin = function
            return None
        others = [each for each in entry.replicas if each.worker is not newcomer]
        if others and self.duplicates != "balance":
            if self.duplicates == "reject" and newcomer.understands_rejection:
                return others[-1].worker
            self._dispossess(others, key)
            others = []
        entry.replicas = [*others, function]
        self._offered_by.setdefault(newcomer, set()).add(key)
        self._on_offered(function.id)
        return None

    def _dispossess(self, offers: list[Function], key: tuple[str, str]) -> None:
        """Forget who offered what a newcomer takes over; they do not get it back (spec 01 §3.5)."""
        for each in offers:
            if each.worker is not None:
                self._offered_by[each.worker].discard(key)

    def withdraw(self, worker: Worker, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Remove a worker's offer; does nothing when the worker is not offering the function."""
        key = (namespace, function_id)
        if key not in self._offered_by.get(worker, ()):
            return
        self._offered_by[worker].discard(key)
        entry = self._functions[key]
        entry.replicas = [each for each in entry.replicas if each.worker is not worker]
        if not entry.all:
            del self._functions[key]

    def withdraw_all(self, worker: Worker) -> None:
        """Remove everything a worker offers."""
        for namespace, function_id in list(self._offered_by.get(worker, ())):
            self.withdraw(worker, function_id, namespace)
        self._offered_by.pop(worker, None)

    def pick(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> Function | None:
        """Choose who runs the next call: the providers take turns, those that have room."""
        entry = self._functions.get((namespace, function_id))
        return entry.take_turn() if entry else None

    def find(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> Function | None:
        """Return the newest offer of a function, without taking a turn."""
        entry = self._functions.get((namespace, function_id))
        return entry.all[-1] if entry else None

    def offers_of(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> list[Function]:
        """Return every offer of a function that is called, the newest last."""
        entry = self._functions.get((namespace, function_id))
        return list(entry.all) if entry else []

    def metadata_of(self, function_id: str, namespace: str = DEFAULT_NAMESPACE) -> list[msgspec.Raw]:
        """Return the metadata of every offer of a function that is called."""
        return [each.schema.metadata for each in self.offers_of(function_id, namespace)]

    def namespaces_of(self, function_id: str) -> list[str]:
        """Return the namespaces in which a function is on offer."""
        return sorted(namespace for namespace, each in self._functions if each == function_id)

    def offered_by(self, worker: Worker) -> list[Function]:
        """Return what a worker offers, by namespace and id."""
        keys = sorted(self._offered_by.get(worker, ()))
        return [each for key in keys for each in self._functions[key].replicas if each.worker is worker]

    def __iter__(self) -> Iterator[Function]:
        """Iterate over every function once, by namespace and id, each as its newest offer."""
        for key in sorted(self._functions):
            yield self._functions[key].all[-1]

    def __contains__(self, function_id: str) -> bool:
        """Tell whether a function is on offer in the default namespace."""
        return (DEFAULT_NAMESPACE, function_id) in self._functions
