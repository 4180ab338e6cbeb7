"""What `state::*` functions take, answer and announce (spec 03 §1.1, §2.2). Values stay raw JSON."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from bridge.builtins.update_ops import OpError, UpdateOp
from bridge.protocol.payload import ABSENT, NULL

__all__ = [
    "DeleteInput",
    "EventType",
    "GetInput",
    "ListInput",
    "NoInput",
    "ScopesAnswer",
    "SetInput",
    "StateEvent",
    "UpdateInput",
    "VersionedAnswer",
    "WriteAnswer",
]

Version = Annotated[int, msgspec.Meta(ge=0)]
EventType = Literal["state:created", "state:updated", "state:deleted"]


class SetInput(msgspec.Struct, frozen=True):
    """Input of `state::set`; `data` is the older name of `value`."""

    scope: str
    key: str
    value: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    expected_version: Version | None = None

    def __post_init__(self) -> None:
        if (self.value == ABSENT) == (self.data == ABSENT):
            raise ValueError("expected either `value` or its older name `data`")

    @property
    def new_value(self) -> msgspec.Raw:
        """The value, under whichever name it came."""
        return self.data if self.value == ABSENT else self.value


class GetInput(msgspec.Struct, frozen=True):
    """Input of `state::get`; `with_version` asks for the answer that compare-and-set begins with."""

    scope: str
    key: str
    with_version: bool = False


class DeleteInput(msgspec.Struct, frozen=True):
    """Input of `state::delete`."""

    scope: str
    key: str
    expected_version: Version | None = None


class UpdateInput(msgspec.Struct, frozen=True):
    """Input of `state::update`."""

    scope: str
    key: str
    ops: Sequence[UpdateOp]
    expected_version: msgspec.Raw = NULL

    def __post_init__(self) -> None:
        # Ignored like other unknown fields, it would let a stale writer believe that it was checked.
        if self.expected_version != NULL:
            raise ValueError("state::update takes no expected_version; compare and set with state::set")


class ListInput(msgspec.Struct, frozen=True):
    """Input of `state::list`."""

    scope: str


class NoInput(msgspec.Struct, frozen=True):
    """Input of `state::list_groups`: any object."""


class WriteAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of `state::set` and `state::update`; `version` is there when a version was expected."""

    old_value: msgspec.Raw
    new_value: msgspec.Raw
    errors: Sequence[OpError] = ()
    version: int | None = None


class VersionedAnswer(msgspec.Struct, frozen=True):
    """Answer of `state::get` with `with_version`; version 0 means that there is no entry."""

    value: msgspec.Raw = NULL
    version: int = 0


class ScopesAnswer(msgspec.Struct, frozen=True):
    """Answer of `state::list_groups`."""

    groups: Sequence[str]


class StateEvent(msgspec.Struct, frozen=True, tag_field="type", tag="state"):
    """What a `state` trigger hands to its function."""

    event_type: EventType
    scope: str
    key: str
    old_value: msgspec.Raw
    new_value: msgspec.Raw
