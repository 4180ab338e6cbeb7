"""The `state::*` functions (spec 03 §1)."""

from dataclasses import dataclass

import msgspec
import structlog

from bridge.builtins.entries import failures_reported_as, update_entry
from bridge.builtins.state.messages import (
    DeleteInput,
    EventType,
    GetInput,
    ListInput,
    NoInput,
    ScopesAnswer,
    SetInput,
    StateEvent,
    UpdateInput,
    VersionedAnswer,
    WriteAnswer,
)
from bridge.engine.calls import Call
from bridge.engine.engine import decode_input
from bridge.errors import FunctionFailedError, InvalidInputError, StorageError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT, NULL
from bridge.storage.broker import Broker
from bridge.storage.port import KeyValueStore

__all__ = ["EVENTS_TOPIC", "StateFunctions", "StateSettings"]

log = structlog.get_logger("bridge.state")

EVENTS_TOPIC = "events"

_set_decoder = msgspec.json.Decoder(SetInput)
_get_decoder = msgspec.json.Decoder(GetInput)
_delete_decoder = msgspec.json.Decoder(DeleteInput)
_update_decoder = msgspec.json.Decoder(UpdateInput)
_list_decoder = msgspec.json.Decoder(ListInput)
_no_input_decoder = msgspec.json.Decoder(NoInput)


@dataclass(frozen=True, slots=True)
class StateSettings:
    """How state behaves.

    Attributes:
        triggers_enabled: Whether writes fire triggers; when not, their events are lost.
        max_value_bytes: The largest value `state::set` takes, as compact JSON; `None` takes any.
        dotted_paths: Whether the path `a.b` of an update names the field `b` of `a`, not the field `a.b`.
    """

    triggers_enabled: bool = True
    max_value_bytes: int | None = None
    dotted_paths: bool = False


class StateFunctions:
    """Reads and writes entries.

    Args:
        store: Where the entries are kept.
        settings: How state behaves.
        broker: Carries the event of every write to all bridges that share the store.
    """

    def __init__(self, store: KeyValueStore, settings: StateSettings, broker: Broker) -> None:
        self._store = store
        self._settings = settings
        self._broker = broker

    def apply(self, settings: StateSettings) -> None:
        """Serve calls from now on by new settings."""
        self._settings = settings

    async def set(self, call: Call) -> msgspec.Raw:
        """Replace a value; `expected_version` makes it a compare-and-set.

        Raises:
            VersionConflictError: The entry is at another version.
            FunctionFailedError: The value is too large, or the store failed.
        """
        request = decode_input(call, _set_decoder)
        self._check_size(request.scope, request.key, request.new_value)
        with failures_reported_as("SET_ERROR"):
            written = await self._store.set(
                request.scope,
                request.key,
                bytes(request.new_value),
                expected_version=request.expected_version,
            )
        answer = WriteAnswer(
            _raw(written.old_value),
            request.new_value,
            version=None if request.expected_version is None else written.version,
        )
        await self._announce_write(request.scope, request.key, written.old_value, request.new_value)
        return payload.encode(answer)

    async def get(self, call: Call) -> msgspec.Raw:
        """Return a value; no result if there is none."""
        request = decode_input(call, _get_decoder)
        with failures_reported_as("GET_ERROR"):
            entry = await self._store.get(request.scope, request.key)
        if request.with_version:
            return payload.encode(
                VersionedAnswer(msgspec.Raw(entry.value), entry.version) if entry else VersionedAnswer()
            )
        return msgspec.Raw(entry.value) if entry else ABSENT

    async def delete(self, call: Call) -> msgspec.Raw:
        """Remove an entry and return its value; the event is fired even if there was none (spec 03 §2.3)."""
        request = decode_input(call, _delete_decoder)
        with failures_reported_as("DELETE_ERROR"):
            old_value = await self._store.delete(
                request.scope, request.key, expected_version=request.expected_version
            )
        await self._announce(StateEvent("state:deleted", request.scope, request.key, _raw(old_value), NULL))
        return ABSENT if old_value is None else msgspec.Raw(old_value)

    async def update(self, call: Call) -> msgspec.Raw:
        """Apply a list of changes to a value in one atomic step."""
        request = decode_input(call, _update_decoder)
        with failures_reported_as("UPDATE_ERROR"):
            written, errors = await update_entry(
                self._store,
                request.scope,
                request.key,
                request.ops,
                dotted_paths=self._settings.dotted_paths,
            )
        new_value = msgspec.Raw(written.new_value)
        await self._announce_write(request.scope, request.key, written.old_value, new_value)
        return payload.encode(WriteAnswer(_raw(written.old_value), new_value, errors=errors))

    async def list(self, call: Call) -> msgspec.Raw:
        """Return the values of a scope, in the order in which their keys were first written."""
        request = decode_input(call, _list_decoder)
        with failures_reported_as("LIST_ERROR"):
            values = await self._store.list(request.scope)
        return msgspec.Raw(b"[%b]" % b",".join(values))

    async def list_groups(self, call: Call) -> msgspec.Raw:
        """Return the names of the scopes that hold an entry."""
        decode_input(call, _no_input_decoder)
        with failures_reported_as("LIST_GROUPS_ERROR"):
            scopes = await self._store.list_scopes()
        return payload.encode(ScopesAnswer(scopes))

    def _check_size(self, scope: str, key: str, value: msgspec.Raw) -> None:
        limit_bytes = self._settings.max_value_bytes
        if limit_bytes is None or len(value) <= limit_bytes:
            return
        # The limit counts compact JSON: spaces and escapes that an SDK may send do not count.
        try:
            size_bytes = len(payload.encode(msgspec.json.decode(value)))
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise InvalidInputError(f"The value of {scope}/{key} cannot be measured: {exc}") from exc
        if size_bytes > limit_bytes:
            raise FunctionFailedError(
                "VALUE_TOO_LARGE",
                f"The value of {scope}/{key} has {size_bytes} bytes as compact JSON; max_value_bytes "
                f"allows {limit_bytes}. Store less in one entry, or raise max_value_bytes of iii-state.",
            )

    async def _announce_write(
        self, scope: str, key: str, old_value: bytes | None, new_value: msgspec.Raw
    ) -> None:
        event_type: EventType = "state:created" if old_value is None else "state:updated"
        await self._announce(StateEvent(event_type, scope, key, _raw(old_value), new_value))

    async def _announce(self, event: StateEvent) -> None:
        if not self._settings.triggers_enabled:
            return
        try:
            await self._broker.publish(EVENTS_TOPIC, bytes(payload.encode(event)))
        except StorageError as exc:
            # The write has happened and stays, so its caller is not told that it failed.
            log.warning(
                "state event lost, no trigger runs", scope=event.scope, key=event.key, reason=str(exc)
            )


def _raw(value: bytes | None) -> msgspec.Raw:
    return NULL if value is None else msgspec.Raw(value)
