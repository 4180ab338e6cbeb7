"""The entries: stored whole, checked before they change, announced after (spec 05 §4.6)."""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from bridge.builtins.configuration.messages import (
    ConfigurationEvent,
    Entry,
    EventType,
    RegisterInput,
)
from bridge.builtins.configuration.owned import OwnedEntry
from bridge.builtins.configuration.values import (
    Expand,
    UnsetVariableError,
    check_schema,
    check_value,
    decode,
    expanded,
    has_placeholder,
)
from bridge.errors import FunctionFailedError, StorageError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT, NULL
from bridge.storage.port import KeyValueStore

__all__ = ["Announce", "Entries"]

_SCOPE = "entries"
_ID = re.compile(r"[a-z0-9_-]{1,64}")
_ENTRY_BYTES = 1024 * 1024
_entry_decoder = msgspec.json.Decoder(Entry)

Announce = Callable[[ConfigurationEvent], None]


class Entries:
    """Keeps entries; changes are made one after the other.

    Args:
        store: Where they are; it belongs to this worker alone.
        expand: Replaces placeholders.
        announce: Told of every change, in order.
    """

    def __init__(self, store: KeyValueStore, expand: Expand, announce: Announce) -> None:
        self._store = store
        self._expand = expand
        self._announce = announce
        self._owned: dict[str, OwnedEntry] = {}
        self._changing = asyncio.Lock()

    def own(self, entry: OwnedEntry) -> None:
        """Add an entry of the bridge itself."""
        self._owned[entry.id] = entry

    async def register(self, asked: RegisterInput) -> Entry:
        """Add an entry, or replace all of it but its value; the value too, if one is given.

        Raises:
            FunctionFailedError: `INVALID_ID`, `SCHEMA_INVALID`, `ADAPTER_ERROR`.
        """
        _check_id(asked.id)
        if asked.id in self._owned:
            raise FunctionFailedError(
                "INVALID_ID",
                f"'{asked.id}' is the entry of a worker of the bridge; change it with configuration::set, "
                "or choose another id",
            )
        _check_size(asked.id, asked.schema, asked.initial_value, asked.metadata)
        check_schema(asked.schema)
        if asked.initial_value != ABSENT:
            self._check(asked.schema, asked.initial_value)
        async with self._changing:
            known = await self._stored(asked.id)
            value = (known.value if known else NULL) if asked.initial_value == ABSENT else asked.initial_value
            entry = Entry(asked.id, asked.name, asked.description, asked.schema, value, asked.metadata)
            await self._put(entry)
            event_type: EventType = "configuration:updated" if known else "configuration:registered"
            self._tell(event_type, entry, known.value if known else NULL, value)
        return entry

    async def set(self, entry_id: str, value: msgspec.Raw) -> msgspec.Raw:
        """Replace a value and return the one before; with `null` an entry of ours follows the file again.

        Raises:
            FunctionFailedError: `INVALID_ID`, `NOT_REGISTERED`, `SCHEMA_INVALID`, `ADAPTER_ERROR`.
        """
        _check_id(entry_id)
        async with self._changing:
            entry = await self.find(entry_id)
            if entry is None:
                raise FunctionFailedError(
                    "NOT_REGISTERED",
                    f"No configuration '{entry_id}' is registered; register it with its schema first "
                    "(configuration::register)",
                )
            _check_size(entry_id, entry.schema, value, entry.metadata)
            owned = self._owned.get(entry_id)
            if owned is None or value != NULL:
                self._check(entry.schema, value, owned)
            changed = msgspec.structs.replace(entry, value=value)
            await self._put(changed)
            in_force = owned.from_file() if owned and value == NULL else value
            self._tell("configuration:updated", changed, entry.value, in_force)
        return entry.value

    async def remove(self, entry_id: str) -> None:
        """Forget an entry; one that is not there is harmless.

        Raises:
            FunctionFailedError: `ADAPTER_ERROR`.
        """
        async with self._changing:
            entry = await self._stored(entry_id)
            if entry is not None:
                with _adapter_errors():
                    await self._store.delete(_SCOPE, entry_id)
                self._tell("configuration:deleted", entry, entry.value, NULL)

    async def find(self, entry_id: str) -> Entry | None:
        """Return an entry as it was given, or `None`.

        Raises:
            FunctionFailedError: `ADAPTER_ERROR`.
        """
        stored = await self._stored(entry_id)
        owned = self._owned.get(entry_id)
        return stored if owned is None else owned.entry(stored)

    async def all(self) -> Sequence[Entry]:
        """Return every entry by id.

        Raises:
            FunctionFailedError: `ADAPTER_ERROR`.
        """
        with _adapter_errors():
            stored = {entry.id: entry for entry in map(_entry_decoder.decode, await self._store.list(_SCOPE))}
        owned = {each.id: each.entry(stored.get(each.id)) for each in self._owned.values()}
        return [entry for _, entry in sorted({**stored, **owned}.items())]

    async def override(self, entry_id: str) -> msgspec.Raw | None:
        """Return what was set for an entry of the bridge, expanded; `None` when it follows the file.

        Raises:
            FunctionFailedError: `ADAPTER_ERROR`, `EXPAND_FAILED`.
        """
        stored = await self._stored(entry_id)
        return None if stored is None or stored.value == NULL else self.expanded(stored)

    def expanded(self, entry: Entry) -> msgspec.Raw:
        """Return the value of an entry with its placeholders replaced.

        Raises:
            FunctionFailedError: `EXPAND_FAILED`.
        """
        try:
            return self._meaning(entry.value)
        except UnsetVariableError as exc:
            raise FunctionFailedError("EXPAND_FAILED", f"The value of '{entry.id}': {exc}") from exc

    def follow_file(self, entry_id: str, before: msgspec.Raw) -> None:
        """Announce that the file has changed an entry of the bridge that nobody has set.

        Args:
            entry_id: The entry.
            before: What the file said before.
        """
        owned = self._owned[entry_id]
        self._tell("configuration:updated", owned.entry(None), before, owned.from_file())

    def _check(self, schema: msgspec.Raw, value: msgspec.Raw, owned: OwnedEntry | None = None) -> None:
        """Check a value as it will be read; one with unset variables is checked when it is read."""
        try:
            meant = expanded(decode(value, "The value"), self._expand)
        except UnsetVariableError:
            return
        check_value(schema, meant)
        if owned is not None:
            owned.check(meant)

    async def _stored(self, entry_id: str) -> Entry | None:
        with _adapter_errors():
            found = await self._store.get(_SCOPE, entry_id)
            return _entry_decoder.decode(found.value) if found else None

    async def _put(self, entry: Entry) -> None:
        with _adapter_errors():
            await self._store.set(_SCOPE, entry.id, bytes(payload.encode(entry)))

    def _tell(
        self, event_type: EventType, entry: Entry, old_value: msgspec.Raw, new_value: msgspec.Raw
    ) -> None:
        self._announce(
            ConfigurationEvent(
                event_type,
                entry.id,
                entry.name,
                entry.description,
                entry.schema,
                self._expanded_or_null(old_value),
                self._expanded_or_null(new_value),
                entry.metadata,
            )
        )

    def _expanded_or_null(self, value: msgspec.Raw) -> msgspec.Raw:
        try:
            return self._meaning(value)
        except UnsetVariableError:
            return NULL

    def _meaning(self, value: msgspec.Raw) -> msgspec.Raw:
        decoded = decode(value, "The value")
        return payload.encode(expanded(decoded, self._expand)) if has_placeholder(decoded) else value


def _check_id(entry_id: str) -> None:
    if not _ID.fullmatch(entry_id):
        raise FunctionFailedError(
            "INVALID_ID",
            f"The id '{entry_id[:100]}' cannot be used; an id has 1 to 64 of a-z, 0-9, '_' and '-'",
        )


def _check_size(entry_id: str, *parts: msgspec.Raw | msgspec.UnsetType) -> None:
    """Refuse what is too large before anything is done with it."""
    size_bytes = sum(0 if isinstance(part, msgspec.UnsetType) else len(part) for part in parts)
    if size_bytes > _ENTRY_BYTES:
        raise FunctionFailedError(
            "ADAPTER_ERROR",
            f"The entry '{entry_id}' has {size_bytes} bytes; at most {_ENTRY_BYTES} are kept. "
            "Keep large data in state and name it in the entry.",
        )


@contextmanager
def _adapter_errors() -> Iterator[None]:
    try:
        yield
    except StorageError as exc:
        raise FunctionFailedError("ADAPTER_ERROR", str(exc)) from exc
    except msgspec.MsgspecError as exc:
        text = f"What is stored is no entry of this version: {exc}. Was it written by a newer bridge?"
        raise FunctionFailedError("ADAPTER_ERROR", text) from exc
