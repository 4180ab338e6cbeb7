"""What a session may do on its listener: the rules of the file and the rights its auth function gave it.

No I/O: everything a decision depends on is an argument (spec 05 §5).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from bridge.engine.calls import DEFAULT_NAMESPACE
from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["OPEN", "Access", "AccessRules", "ExposedIds", "ExposedMetadata", "Pattern", "Rights"]

FORBIDDEN = "FORBIDDEN"

INFRASTRUCTURE = frozenset(
    {
        "engine::channels::create",
        "engine::workers::register",
        *(f"engine::log::{level}" for level in ("info", "warn", "error", "debug", "trace")),
        *(f"engine::baggage::{verb}" for verb in ("get", "set", "get_all")),
    }
)
"""What every session may call unless it is forbidden by name: SDKs call it by themselves."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern for text: `*` stands for any characters, also none; everything else for itself."""

    text: str

    def matches(self, text: str) -> bool:
        """Tell whether the pattern describes the whole text."""
        first, *rest = self.text.split("*")
        if not rest:
            return text == first
        *middle, last = rest
        if not text.startswith(first):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return at <= end and text.endswith(last)


@dataclass(frozen=True, slots=True)
class ExposedIds:
    """Functions that every session may call: those with such an id."""

    pattern: Pattern
    namespace: str = DEFAULT_NAMESPACE

    def matches(self, function_id: str, _: Iterable[msgspec.Raw]) -> bool:
        """Tell whether a function of the namespace is meant."""
        return self.pattern.matches(function_id)


@dataclass(frozen=True, slots=True)
class ExposedMetadata:
    """Functions that every session may call: those with such metadata.

    Attributes:
        entries: For each key the JSON value it must have, or the pattern that its text must match. No
            entries expose nothing.
    """

    entries: Mapping[str, Any]
    namespace: str = DEFAULT_NAMESPACE

    def matches(self, _: str, metadata: Iterable[msgspec.Raw]) -> bool:
        """Tell whether a function of the namespace is meant.

        Every offer of it must have the metadata: a worker that may register functions could otherwise expose
        another's function by offering one of the same id.
        """
        offers = list(metadata)
        return bool(offers) and all(self._describes(each) for each in offers)

    def _describes(self, metadata: msgspec.Raw) -> bool:
        if not self.entries or not payload.is_object(metadata):
            return False
        found = msgspec.json.decode(metadata)
        return all(key in found and _is_met(wanted, found[key]) for key, wanted in self.entries.items())


def _is_met(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Pattern):
        return isinstance(found, str) and wanted.matches(found)
    return _canonical(wanted) == _canonical(found)


def _canonical(value: Any) -> bytes:
    """Return what equal JSON values have in common: in Python `1`, `1.0` and `True` would be equal."""
    return msgspec.json.encode(value, order="sorted")


class Rights(msgspec.Struct, frozen=True):
    """What an auth function answered about a session (spec 05 §5.3); what it left out has these defaults.

    Attributes:
        allowed_functions: Ids that it may call in `default`.
        forbidden_functions: Ids that it may call nowhere, whatever else allows them.
        allowed_trigger_types: What it may bind; `None` is anything.
        context: Told to the middleware and to the hooks, as raw JSON.
        function_registration_prefix: Begins the id of every function it registers.
        namespaces: For each namespace the patterns of what it may call there; if there are any, it may
            register in these namespaces only.
    """

    allowed_functions: frozenset[str] = frozenset()
    forbidden_functions: frozenset[str] = frozenset()
    allowed_trigger_types: frozenset[str] | None = None
    allow_trigger_type_registration: bool = False
    allow_function_registration: bool = True
    context: msgspec.Raw = msgspec.Raw(b"{}")
    function_registration_prefix: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    namespaces: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What the file says of a listener (spec 05 §5.1-5.2).

    Attributes:
        is_guarded: Whether it has an `rbac` block; without one everything is allowed.
        exposed: What every session may call.
        auth_function_id: Called once for each connection; without one every session has every right.
        middleware_function_id: Called instead of what a session calls.
        function_hook_id: Asked before a session registers a function.
        trigger_hook_id: Asked before a session registers a trigger.
        trigger_type_hook_id: Asked before a session registers a trigger type.
    """

    is_guarded: bool = False
    exposed: tuple[ExposedIds | ExposedMetadata, ...] = ()
    auth_function_id: str | None = None
    middleware_function_id: str | None = None
    function_hook_id: str | None = None
    trigger_hook_id: str | None = None
    trigger_type_hook_id: str | None = None

    @property
    def guards(self) -> frozenset[str | None]:
        """The functions that guard the listener."""
        return frozenset(
            {
                self.auth_function_id,
                self.middleware_function_id,
                self.function_hook_id,
                self.trigger_hook_id,
                self.trigger_type_hook_id,
            }
        )


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of a listener and the rights of one session on it."""

    rules: AccessRules = AccessRules()
    rights: Rights = field(default_factory=lambda: Rights(allow_trigger_type_registration=True))

    @property
    def is_restricted(self) -> bool:
        """Tell whether anything may be refused."""
        return self.rules.is_guarded

    def refusal_of_call(
        self, function_id: str, namespace: str, metadata: Iterable[msgspec.Raw]
    ) -> FunctionFailedError | None:
        """Return why the session may not call a function, if so (the order of spec 05 §5.4).

        Args:
            function_id: What is called; it need not exist.
            namespace: Where it is looked up.
            metadata: Of each offer of the function.
        """
        if not self.rules.is_guarded:
            return None
        if function_id in self.rights.forbidden_functions:
            return _forbidden(f"function '{function_id}' not allowed (remove from rbac.forbidden_functions)")
        is_allowed = (
            any(Pattern(each).matches(function_id) for each in self.rights.namespaces.get(namespace, ()))
            or (namespace == DEFAULT_NAMESPACE and function_id in self.rights.allowed_functions)
            or function_id in INFRASTRUCTURE
            or any(
                each.namespace == namespace and each.matches(function_id, metadata)
                for each in self.rules.exposed
            )
        )
        if is_allowed:
            return None
        return _forbidden(f"function '{function_id}' not allowed (add to rbac.expose_functions)")

    def refusal_of_indirect_call(self, function_id: str) -> FunctionFailedError | None:
        """Return why the session may not have a queue or a trigger call a function it may call itself.

        The engine's own functions, and those of chains, look at the session that calls them, and whatever is
        called by a queue or a trigger has none.
        """
        if not self.rules.is_guarded or not function_id.startswith(("engine::", "chain::")):
            return None
        return _forbidden(f"function '{function_id}' not allowed for queues and triggers (call it directly)")

    def refusal_of_binding(
        self, function_id: str, namespace: str, metadata: Iterable[msgspec.Raw]
    ) -> FunctionFailedError | None:
        """Return why the session may not have a trigger call a function, if so (spec 05 §5.6)."""
        if self.refusal_of_call(function_id, namespace, metadata):
            return _forbidden(f"function '{function_id}' not allowed in namespace '{namespace}'")
        return self.refusal_of_indirect_call(function_id)

    def refusal_of_namespace(self, namespace: str) -> FunctionFailedError | None:
        """Return why the session may not register in a namespace, if so."""
        permitted = self.rights.namespaces
        if not permitted or namespace in permitted:
            return None
        names = ", ".join(sorted(permitted))
        return _forbidden(f"namespace '{namespace}' not allowed for this session (permitted: {names})")

    def may_bind(self, trigger_type: str) -> bool:
        """Tell whether the session may make triggers of a type."""
        allowed = self.rights.allowed_trigger_types
        return allowed is None or trigger_type in allowed

    def stored_id(self, function_id: str) -> str:
        """Return under which id a function is kept that the session knows as `function_id`."""
        prefix = self.rights.function_registration_prefix
        return f"{prefix}::{function_id}" if prefix else function_id


OPEN = Access()
"""Of a session on a listener without rules."""


def _forbidden(text: str) -> FunctionFailedError:
    return FunctionFailedError(FORBIDDEN, text)
