"""The entries in a SQLite file, seen from the one thread that uses it: statements, schema and error texts."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from bridge.errors import StorageError
from bridge.storage.port import Entry

__all__ = ["EntryTable", "Synchronous"]

Synchronous: TypeAlias = Literal["full", "normal"]

_APPLICATION_ID: Final = 0x69696974  # "iiit", so that no other program's file is taken for ours
_SCHEMA_VERSION: Final = 1

# A row's position is larger than that of every older row and stays when the row is overwritten. The index on
# the scope alone ends in the position, as each index does, so it serves lists in insertion order.
_SCHEMA: Final = (
    """CREATE TABLE entries (
        position INTEGER PRIMARY KEY,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        version INTEGER NOT NULL,
        UNIQUE (scope, key)
    )""",
    "CREATE INDEX entries_by_scope ON entries (scope)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)

_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked; stop that process or give it a file of its own",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the path is a file in a writable directory",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a backup or move it away",
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "reading or writing it failed; check the disk",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; configure another path or move the file away",
    sqlite3.SQLITE_PERM: "access is denied; give the bridge write access to the file and its directory",
    sqlite3.SQLITE_READONLY: "it is read-only; give the bridge write access to the file and its directory",
    sqlite3.SQLITE_TOOBIG: "the value is larger than SQLite can hold; store it in parts",
}
_PRIMARY_CODE_MASK: Final = 0xFF
_RETRY_AFTER_S: Final = 0.01


class EntryTable:
    """Entries in a SQLite file in WAL mode. Every method blocks, and raises StorageError if SQLite fails.

    Concurrency: one thread only. Other processes may use the file at the same time.
    """

    def __init__(self, path: Path, *, synchronous: Synchronous, busy_timeout_s: float) -> None:
        """Open the file; create it, and the directories it lies in, if missing."""
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
        try:
            self._require_schema()
            self._switch_to_wal(patience_s=busy_timeout_s)
            self._query(f"PRAGMA synchronous = {synchronous}")
            # macOS needs more than fsync to get past the cache of the drive; elsewhere this changes nothing.
            self._query(f"PRAGMA fullfsync = {synchronous == 'full'}")
        except BaseException:
            self._connection.close()
            raise

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; SQLite itself ends it on some errors."""
        return self._connection.in_transaction

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[None]:
        """Commit what the block wrote, or nothing if it raises.

        Args:
            writes: Take the write lock at once, so that what the block reads stays true until it writes.
        """
        self._query("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            yield
            self._query("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def get(self, scope: str, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""
        rows = self._query("SELECT value, version FROM entries WHERE scope = ? AND key = ?", scope, key)
        return Entry(*rows[0]) if rows else None

    def put(self, scope: str, key: str, entry: Entry) -> None:
        """Insert or overwrite an entry."""
        self._query(
            "INSERT INTO entries (scope, key, value, version) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, version = excluded.version",
            scope,
            key,
            entry.value,
            entry.version,
        )

    def remove(self, scope: str, key: str) -> None:
        """Remove an entry, if it is there."""
        self._query("DELETE FROM entries WHERE scope = ? AND key = ?", scope, key)

    def values(self, scope: str) -> list[bytes]:
        """Return the values of a scope in insertion order."""
        return [
            value
            for (value,) in self._query("SELECT value FROM entries WHERE scope = ? ORDER BY position", scope)
        ]

    def scopes(self, prefix: str) -> list[str]:
        """Return the scopes that begin with a prefix, in ascending byte order."""
        names: list[str] = []
        bound = prefix
        while True:
            # One jump in the index per scope: a DISTINCT would walk over every entry.
            ((name,),) = self._query("SELECT min(scope) FROM entries WHERE scope >= ?", bound)
            if name is None or not name.startswith(prefix):
                return names
            names.append(name)
            bound = name + "\0"  # the very next text in byte order

    def close(self) -> None:
        """Close the file."""
        with self._explained():
            self._connection.close()

    def _require_schema(self) -> None:
        """Create the schema in an empty file and refuse a file of another program or of a newer bridge."""
        with self.transaction(writes=True):
            ((application_id,),) = self._query("PRAGMA application_id")
            ((version,),) = self._query("PRAGMA user_version")
            ((objects,),) = self._query("SELECT count(*) FROM sqlite_master")
            if (application_id, version, objects) == (0, 0, 0):
                for statement in _SCHEMA:
                    self._query(statement)
            elif application_id != _APPLICATION_ID:
                raise StorageError(
                    f"the store {self._path} is unusable: it is the database of another program; "
                    "configure another path"
                )
            elif version != _SCHEMA_VERSION:
                raise StorageError(
                    f"the store {self._path} is unusable: its schema has version {version} and this bridge "
                    f"knows {_SCHEMA_VERSION}; start the bridge that wrote it"
                )

    def _switch_to_wal(self, *, patience_s: float) -> None:
        """Switch a new file to WAL; on an old one this changes nothing.

        SQLite gives up at once, whatever its timeout, when another process is about to do the same.
        """
        deadline_s = time.monotonic() + patience_s
        with self._explained():
            while True:
                try:
                    self._connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.Error as exc:
                    if _primary_code(exc) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline_s:
                        raise
                    time.sleep(_RETRY_AFTER_S)
                else:
                    return

    def _query(self, statement: str, *parameters: str | bytes | int) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the operating system or SQLite reports into an error with a remedy."""
        try:
            yield
        except sqlite3.Error as exc:
            remedy = _REMEDIES.get(_primary_code(exc))
            raise StorageError(
                f"the store {self._path} failed: {f'{remedy} ({exc})' if remedy else exc}"
            ) from exc
        except OSError as exc:
            raise StorageError(
                f"the store {self._path} failed: {exc}; check the path and its rights"
            ) from exc


def _primary_code(error: sqlite3.Error) -> int:
    """Return the result code without its extension; 0 if Python refused before SQLite was asked."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE_MASK
