"""`iii-worker-manager`: a port for workers, and who may do what on it (spec 05 §5.1-5.2)."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bridge.config.block import Bind, Block, FunctionId, Name, Port, PositiveMilliseconds, conflict
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens
from bridge.config.hosts import is_loopback

__all__ = ["ExposeRule", "ListenerBlock", "Match", "RbacBlock"]

_MATCH = re.compile(r"""\s*match\(\s*(?P<quote>["'])(?P<pattern>.*)(?P=quote)\s*\)\s*""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern for text: `*` stands for any characters, everything else for itself."""

    pattern: str


def _read_match(text: str) -> Match | None:
    found = _MATCH.fullmatch(text)
    return Match(found["pattern"]) if found else None


class ExposeRule(Block):
    """Functions that everyone on the listener may call: those with such an id, or with such metadata.

    Attributes:
        match: Pattern for the function id.
        metadata: For each key the value it must have, or the `Match` its text must satisfy.
        namespace: Where the functions are.
    """

    match: Name | None = None
    metadata: dict[str, Any] | None = Field(default=None, validate_default=True)
    namespace: Name = "default"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, rule: Any) -> Any:
        if not isinstance(rule, str):
            return rule
        match = _read_match(rule)
        if match is None:
            raise PydanticCustomError(
                "match",
                'expected match("pattern"), got: {text}',
                {"text": rule, "allowed": 'match("pattern")'},
            )
        return {"match": match.pattern}

    @field_validator("metadata")
    @classmethod
    def _read_patterns(cls, metadata: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        if "match" in info.data and (info.data["match"] is None) == (metadata is None):
            raise conflict("a rule needs either `match` or `metadata`", "give exactly one of the two")
        return metadata and {
            key: (_read_match(value) or value) if isinstance(value, str) else value
            for key, value in metadata.items()
        }


class RbacBlock(Block):
    """Who may do what on this listener.

    Attributes:
        auth_function_id: Called once per connection; its answer is the session's rights.
        expose_functions: What every session may call; empty exposes nothing.
        on_function_registration_function_id: Asked before a session registers a function.
        on_trigger_registration_function_id: Asked before a session registers a trigger.
        on_trigger_type_registration_function_id: Asked before a session registers a trigger type.
    """

    auth_function_id: FunctionId | None = None
    expose_functions: Annotated[tuple[ExposeRule, ...], Field(strict=False)] = ()
    on_function_registration_function_id: FunctionId | None = None
    on_trigger_registration_function_id: FunctionId | None = None
    on_trigger_type_registration_function_id: FunctionId | None = None


class ListenerBlock(Block):
    """A port that workers connect to; the file may list several.

    Attributes:
        port: TCP port; 0 lets the system choose.
        host: Address to listen on.
        middleware_function_id: Called instead of the target of every call; its result is the call's.
        rbac: `None` allows everything.
        handshake_timeout_ms: A connection that is not upgraded by then is closed.
        tls: Ours. The encryption of the port; `None` is none.
        tokens: Ours. Bearer tokens, one of which every client must have; none are demanded by default.
    """

    live: ClassVar[Container[str]] = ("rbac", "middleware_function_id")

    port: Port = 49134
    host: Bind = "127.0.0.1"
    middleware_function_id: FunctionId | None = None
    rbac: RbacBlock | None = None
    handshake_timeout_ms: PositiveMilliseconds = 10_000
    tls: ServerTlsBlock | None = None
    tokens: Tokens = ()

    def notices(self) -> Iterator[str]:
        """Tell that a port others can reach asks them nothing: whoever connects can do everything."""
        demands_certificates = self.tls is not None and self.tls.client_ca_file is not None
        if not (is_loopback(self.host) or self.rbac or self.tokens or demands_certificates):
            yield (
                f"iii-worker-manager: whoever reaches {self.host} port {self.port} may call and register"
                " everything; set `tokens` or `rbac`, or let only trusted machines reach it"
            )
