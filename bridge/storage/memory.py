"""The store in memory: as fast as a dict, gone with the process (`store_method: in_memory`, spec 03 §5.4)."""

from collections.abc import Sequence

from bridge.errors import StorageError
from bridge.storage.port import Change, Entry, Written, next_entry, require_version

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `KeyValueStore` that keeps its entries in dicts, whose insertion order is the order of `list`.

    No operation awaits anything, so the event loop makes each of them atomic.
    """

    def __init__(self) -> None:
        self._scopes: dict[str, dict[str, Entry]] = {}
        self._is_closed = False

    async def get(self, scope: str, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""
        return self._find(scope, key)

    async def set(
        self, scope: str, key: str, value: bytes, *, expected_version: int | None = None
    ) -> Written:
        """Store a value, whatever was there before."""
        current = self._find(scope, key)
        require_version(current, expected_version)
        return self._replace(scope, key, current, value)

    async def delete(self, scope: str, key: str, *, expected_version: int | None = None) -> bytes | None:
        """Remove an entry and return its value, or None if there was none."""
        current = self._find(scope, key)
        require_version(current, expected_version)
        if current is None:
            return None
        entries = self._scopes[scope]
        del entries[key]
        if not entries:
            del self._scopes[scope]
        return current.value

    async def update(self, scope: str, key: str, change: Change) -> Written:
        """Replace a value by what `change` makes of it."""
        current = self._find(scope, key)
        return self._replace(scope, key, current, change(current.value if current else None))

    async def list(self, scope: str) -> Sequence[bytes]:
        """Return the values of a scope in the order in which their keys were first inserted."""
        return [entry.value for entry in self._open_scopes().get(scope, {}).values()]

    async def list_scopes(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the scopes that hold an entry, sorted."""
        # Code points sort like the UTF-8 bytes that encode them.
        return sorted(name for name in self._open_scopes() if name.startswith(prefix))

    async def close(self) -> None:
        """Refuse all later operations."""
        self._is_closed = True

    def _open_scopes(self) -> dict[str, dict[str, Entry]]:
        if self._is_closed:
            raise StorageError("the store is closed; the bridge is shutting down")
        return self._scopes

    def _find(self, scope: str, key: str) -> Entry | None:
        return self._open_scopes().get(scope, {}).get(key)

    def _replace(self, scope: str, key: str, current: Entry | None, value: bytes) -> Written:
        entry = next_entry(current, value)
        self._scopes.setdefault(scope, {})[key] = entry
        return Written(current.value if current else None, entry.value, entry.version)
