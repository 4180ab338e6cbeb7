"""What `stream::*` functions take and answer (spec 03 §3.1). Data stays raw JSON."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from bridge.builtins.update_ops import AppendOp, MergeOp, OpError, UpdateOp
from bridge.protocol.payload import NULL

__all__ = [
    "AllStreamsAnswer",
    "DeleteAnswer",
    "GroupInput",
    "ItemInput",
    "NoInput",
    "ProviderUpdateInput",
    "SendInput",
    "SetInput",
    "StreamGroups",
    "StreamInput",
    "UpdateInput",
    "WriteAnswer",
]


class StreamInput(msgspec.Struct, frozen=True):
    """Input of `stream::list_groups`."""

    stream_name: str


class GroupInput(StreamInput, frozen=True):
    """Input of `stream::list`."""

    group_id: str


class ItemInput(GroupInput, frozen=True):
    """Input of `stream::get` and `stream::delete`."""

    item_id: str


class SetInput(ItemInput, frozen=True):
    """Input of `stream::set`."""

    data: msgspec.Raw


class UpdateInput(ItemInput, frozen=True):
    """Input of `stream::update`."""

    ops: Sequence[UpdateOp]


class RootOp(msgspec.Struct, frozen=True):
    """A merge or append at the root, as a worker's own stream is given it: without a path."""

    type: Literal["merge", "append"]
    value: msgspec.Raw


class ProviderUpdateInput(ItemInput, frozen=True):
    """What the `stream::update` of a worker's own stream is given."""

    ops: Sequence[UpdateOp | RootOp]

    @classmethod
    def of(cls, item: UpdateInput) -> "ProviderUpdateInput":
        """Return the update as it is passed on."""
        ops = [_without_root_path(op) for op in item.ops]
        return cls(item.stream_name, item.group_id, item.item_id, ops)


class SendInput(GroupInput, frozen=True, kw_only=True):
    """Input of `stream::send`; `event_type` is what old examples call `type`."""

    type: str | msgspec.UnsetType = msgspec.UNSET
    event_type: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw
    id: str | None = None

    def __post_init__(self) -> None:
        if self.type is msgspec.UNSET and self.event_type is msgspec.UNSET:
            raise ValueError("expected the string `type`")

    @property
    def name(self) -> str:
        """The type of the event, under whichever name it came."""
        return str(self.event_type if self.type is msgspec.UNSET else self.type)


class NoInput(msgspec.Struct, frozen=True):
    """Input of `stream::list_all`: any object."""


class WriteAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of `stream::set` and `stream::update`."""

    old_value: msgspec.Raw
    new_value: msgspec.Raw
    errors: Sequence[OpError | msgspec.Raw] = ()


class DeleteAnswer(msgspec.Struct, frozen=True):
    """Answer of `stream::delete`."""

    old_value: msgspec.Raw = NULL


class StreamGroups(msgspec.Struct, frozen=True):
    """One stream in the answer of `stream::list_all`."""

    id: str
    groups: Sequence[str]


class AllStreamsAnswer(msgspec.Struct, frozen=True):
    """Answer of `stream::list_all`."""

    stream: Sequence[StreamGroups]
    count: int


def _without_root_path(op: UpdateOp) -> UpdateOp | RootOp:
    match op:
        case MergeOp() if not op.path:
            return RootOp("merge", op.value)
        case AppendOp() if not op.path:
            return RootOp("append", op.value)
        case _:
            return op
