"""Where items live: in the store, or with the worker that offers a stream of its own (spec 03 §3.6)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec

from bridge.builtins.entries import failures_reported_as, update_entry
from bridge.builtins.stream.messages import (
    GroupInput,
    ItemInput,
    ProviderUpdateInput,
    SetInput,
    StreamGroups,
    StreamInput,
    UpdateInput,
)
from bridge.builtins.update_ops import OpError, apply_update
from bridge.engine.calls import DEFAULT_NAMESPACE, Call, Outcome
from bridge.engine.engine import Engine
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT, NULL, is_present
from bridge.storage.port import KeyValueStore
from bridge.storage.scope_names import join_scope, scope_prefix, split_scope

__all__ = ["Items", "Replaced"]

_SCOPE = "stream"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a write replaced, `None` if the item is new, and what it left behind."""

    old_value: msgspec.Raw | None
    new_value: msgspec.Raw
    errors: Sequence[OpError | msgspec.Raw] = ()


class _ProviderWrite(msgspec.Struct, frozen=True):
    new_value: msgspec.Raw
    old_value: msgspec.Raw = NULL
    errors: tuple[msgspec.Raw, ...] | None = None

    def as_replaced(self) -> Replaced:
        return Replaced(_or_none(self.old_value), self.new_value, self.errors or ())


class _ProviderDelete(msgspec.Struct, frozen=True):
    old_value: msgspec.Raw = NULL


_write_decoder = msgspec.json.Decoder(_ProviderWrite)
_delete_decoder = msgspec.json.Decoder(_ProviderDelete)


class Items:
    """Reads and writes items, wherever they live.

    A worker that offers `stream::<operation>(<stream>)` keeps the items of that stream; every operation looks
    anew. Calls to it stay part of the job in which the stream function was called.

    Args:
        engine: Calls those workers.
        store: Keeps the items of all other streams; it belongs to streams alone.
        dotted_paths: Whether the path `a.b` of an update names the field `b` of `a`, not the field `a.b`.
    """

    def __init__(self, engine: Engine, store: KeyValueStore, *, dotted_paths: bool) -> None:
        self._engine = engine
        self._store = store
        self._dotted_paths = dotted_paths
        self._update_turns: WeakValueDictionary[ItemInput, asyncio.Lock] = WeakValueDictionary()

    async def set(self, call: Call, item: SetInput) -> Replaced:
        """Replace an item.

        Raises:
            FunctionFailedError: The store or the provider failed.
        """
        if (outcome := await self._ask_provider("set", call, item)) is not None:
            return _decode(outcome, _write_decoder, "STREAM_SET_ERROR").as_replaced()
        with failures_reported_as("STREAM_SET_ERROR"):
            written = await self._store.set(_scope(item), item.item_id, bytes(item.data))
        return Replaced(_raw(written.old_value), item.data)

    async def update(self, call: Call, item: UpdateInput) -> Replaced:
        """Apply a list of changes to an item in one atomic step.

        SDKs offer no `update` for a worker's own stream; it is then made of the worker's `get` and `set`,
        atomic with respect to other updates through this bridge.

        Raises:
            FunctionFailedError: The store or the provider failed.
        """
        if (outcome := await self._ask_provider("update", call, ProviderUpdateInput.of(item))) is not None:
            return _decode(outcome, _write_decoder, "STREAM_UPDATE_ERROR").as_replaced()
        if self._has_provider("get", item) and self._has_provider("set", item):
            return await self._update_at_provider(call, item)
        with failures_reported_as("STREAM_UPDATE_ERROR"):
            written, errors = await update_entry(
                self._store, _scope(item), item.item_id, item.ops, dotted_paths=self._dotted_paths
            )
        return Replaced(_raw(written.old_value), msgspec.Raw(written.new_value), errors)

    async def delete(self, call: Call, item: ItemInput) -> msgspec.Raw | None:
        """Remove an item and return it; `None` if there was none.

        Raises:
            FunctionFailedError: The store or the provider failed.
        """
        if (outcome := await self._ask_provider("delete", call, item)) is not None:
            return _or_none(_decode(outcome, _delete_decoder, "STREAM_DELETE_ERROR").old_value)
        with failures_reported_as("STREAM_DELETE_ERROR"):
            return _raw(await self._store.delete(_scope(item), item.item_id))

    async def get(self, call: Call, item: ItemInput) -> msgspec.Raw:
        """Return an item; `ABSENT` if there is none.

        Raises:
            FunctionFailedError: The store failed, or what the provider answered.
        """
        if (outcome := await self._ask_provider("get", call, item)) is not None:
            return outcome.unwrap()
        with failures_reported_as("STREAM_GET_ERROR"):
            entry = await self._store.get(_scope(item), item.item_id)
        return msgspec.Raw(entry.value) if entry else ABSENT

    async def list(self, call: Call, group: GroupInput) -> msgspec.Raw:
        """Return the items of a group as an array, in the order in which they were first written.

        Raises:
            FunctionFailedError: The store failed, or what the provider answered.
        """
        if (outcome := await self._ask_provider("list", call, group)) is not None:
            return outcome.unwrap()
        with failures_reported_as("STREAM_GET_GROUP_ERROR"):
            values = await self._store.list(_scope(group))
        return msgspec.Raw(b"[%b]" % b",".join(values))

    async def list_groups(self, call: Call, stream: StreamInput) -> msgspec.Raw:
        """Return the names of a stream's groups as an array.

        Raises:
            FunctionFailedError: The store failed, or what the provider answered.
        """
        if (outcome := await self._ask_provider("list_groups", call, stream)) is not None:
            return outcome.unwrap()
        with failures_reported_as("STREAM_LIST_GROUPS_ERROR"):
            scopes = await self._store.list_scopes(scope_prefix(_SCOPE, stream.stream_name))
        return payload.encode(sorted(split_scope(scope)[-1] for scope in scopes))

    async def list_all(self) -> Sequence[StreamGroups]:
        """Return the streams of the store and their groups; streams of workers are not among them.

        Raises:
            FunctionFailedError: The store failed.
        """
        with failures_reported_as("STREAM_LIST_ALL_ERROR"):
            scopes = await self._store.list_scopes(scope_prefix(_SCOPE))
        names = sorted(split_scope(scope)[1:] for scope in scopes)
        return [
            StreamGroups(stream_name, [group_id for _, group_id in groups])
            for stream_name, groups in groupby(names, key=lambda name: name[0])
        ]

    async def _update_at_provider(self, call: Call, item: UpdateInput) -> Replaced:
        target = ItemInput(item.stream_name, item.group_id, item.item_id)
        turn = self._update_turns.setdefault(target, asyncio.Lock())
        async with turn:
            read = await self._call_provider("get", call, target)
            current = _result_of(read, "STREAM_UPDATE_ERROR")
            updated = apply_update(
                bytes(current) if is_present(current) else None, item.ops, dotted_paths=self._dotted_paths
            )
            new_item = SetInput(
                item.stream_name, item.group_id, item.item_id, data=msgspec.Raw(updated.new_value)
            )
            written = await self._call_provider("set", call, new_item)
        replaced = _decode(written, _write_decoder, "STREAM_UPDATE_ERROR").as_replaced()
        return replace(replaced, errors=updated.errors)

    def _has_provider(self, operation: str, stream: StreamInput) -> bool:
        return self._engine.has_provider(_provider_function_id(operation, stream))

    async def _ask_provider(self, operation: str, call: Call, request: StreamInput) -> Outcome | None:
        """Let the worker that keeps the stream answer; `None` if there is none."""
        if not self._has_provider(operation, request):
            return None
        return await self._call_provider(operation, call, request)

    async def _call_provider(self, operation: str, call: Call, request: StreamInput) -> Outcome:
        return await self._engine.invoke(
            replace(
                call,
                function_id=_provider_function_id(operation, request),
                data=payload.encode(request),
                namespace=DEFAULT_NAMESPACE,
                metadata=ABSENT,
            )
        )


def _provider_function_id(operation: str, stream: StreamInput) -> str:
    return f"stream::{operation}({stream.stream_name})"


def _result_of(outcome: Outcome, failure_code: str) -> msgspec.Raw:
    if outcome.error is not None:
        reason = f"{outcome.error.code}: {outcome.error.message}"
        raise FunctionFailedError(failure_code, f"The worker that keeps this stream failed: {reason}")
    return outcome.result


def _decode(outcome: Outcome, decoder: msgspec.json.Decoder[Answer], failure_code: str) -> Answer:
    result = _result_of(outcome, failure_code)
    if not is_present(result):
        raise FunctionFailedError(
            failure_code, "The worker that keeps this stream answered without a result; it must return one."
        )
    try:
        return decoder.decode(result)
    except msgspec.MsgspecError as exc:
        raise FunctionFailedError(
            "JSON_ERROR", f"The worker that keeps this stream answered in the wrong shape: {exc}"
        ) from exc


def _scope(group: GroupInput) -> str:
    return join_scope(_SCOPE, group.stream_name, group.group_id)


def _raw(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)


def _or_none(value: msgspec.Raw) -> msgspec.Raw | None:
    return value if is_present(value) else None
