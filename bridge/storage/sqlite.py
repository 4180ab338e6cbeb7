"""The store in a SQLite file: the default, for one bridge.

Its counterpart in iii may lose what it has confirmed (spec 03 §5.4); this one does not.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self

from bridge.storage.entry_table import EntryTable, Synchronous
from bridge.storage.group_commit import GroupCommitter
from bridge.storage.port import Change, Entry, Written, next_entry, require_version

__all__ = ["SqliteStore"]

_MAX_PENDING: Final = 1024
"""Operations that may wait or run at once; further callers wait until there is room."""


class SqliteStore:
    """A `KeyValueStore` in one SQLite file; what it has acknowledged survives the death of the process.

    After a power cut all of it is there with `synchronous="full"`, as far as the drive keeps its word about
    flushing; with `"normal"` the last writes before the cut may be gone, and the file is intact either way.

    Several bridges on one machine may share a file; SQLite forbids that over a network file system.
    """

    def __init__(self, committer: GroupCommitter) -> None:
        self._committer = committer

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        synchronous: Synchronous = "full",
        busy_timeout_s: float = 5.0,
        max_pending: int = _MAX_PENDING,
    ) -> Self:
        """Open the file, creating it and its directory if missing.

        Args:
            path: The database file; SQLite keeps `-wal` and `-shm` files beside it.
            synchronous: `full` flushes the drive before a write is acknowledged, `normal` does not.
            busy_timeout_s: How long to wait for another process that has locked the file.
            max_pending: Operations that may wait or run at once; further callers wait until there is room.

        Raises:
            StorageError: The file cannot be used: the text says why and what to do.
        """
        open_table = partial(EntryTable, path, synchronous=synchronous, busy_timeout_s=busy_timeout_s)
        return cls(await GroupCommitter.start(open_table, max_pending=max_pending))

    async def get(self, scope: str, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""
        return await self._committer.perform(lambda table: table.get(scope, key), writes=False)

    async def set(
        self, scope: str, key: str, value: bytes, *, expected_version: int | None = None
    ) -> Written:
        """Store a value, whatever was there before."""

        def work(table: EntryTable) -> Written:
            current = table.get(scope, key)
            require_version(current, expected_version)
            return _replace(table, scope, key, current, value)

        return await self._committer.perform(work, writes=True)

    async def delete(self, scope: str, key: str, *, expected_version: int | None = None) -> bytes | None:
        """Remove an entry and return its value, or None if there was none."""

        def work(table: EntryTable) -> bytes | None:
            current = table.get(scope, key)
            require_version(current, expected_version)
            if current is None:
                return None
            table.remove(scope, key)
            return current.value

        return await self._committer.perform(work, writes=True)

    async def update(self, scope: str, key: str, change: Change) -> Written:
        """Replace a value by what `change` makes of it; it runs on the thread of the store."""

        def work(table: EntryTable) -> Written:
            current = table.get(scope, key)
            return _replace(table, scope, key, current, change(current.value if current else None))

        return await self._committer.perform(work, writes=True)

    async def list(self, scope: str) -> Sequence[bytes]:
        """Return the values of a scope in the order in which their keys were first inserted."""
        return await self._committer.perform(lambda table: table.values(scope), writes=False)

    async def list_scopes(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the scopes that hold an entry, sorted."""
        return await self._committer.perform(lambda table: table.scopes(prefix), writes=False)

    async def close(self) -> None:
        """Finish the operations under way, refuse later ones and close the file."""
        await self._committer.close()


def _replace(table: EntryTable, scope: str, key: str, current: Entry | None, value: bytes) -> Written:
    entry = next_entry(current, value)
    table.put(scope, key, entry)
    return Written(current.value if current else None, entry.value, entry.version)
