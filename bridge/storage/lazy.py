"""A store that is opened when it is needed: nothing is created for a bridge that keeps nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bridge.errors import StorageError
from bridge.storage.port import Change, Entry, KeyValueStore, Written

__all__ = ["LazyStore"]


class LazyStore:
    """A `KeyValueStore` that opens the one behind it with the first write, or at once if that has been made.

    Args:
        exists: Tells whether the store behind has ever been made; asked before reads.
        open_store: Opens it, and makes it if necessary.
    """

    def __init__(
        self, exists: Callable[[], bool], open_store: Callable[[], Awaitable[KeyValueStore]]
    ) -> None:
        self._exists = exists
        self._open_store = open_store
        self._store: KeyValueStore | None = None
        # Fair, so that the operations of one caller reach the store in their order.
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def get(self, scope: str, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""
        store = await self._existing()
        return await store.get(scope, key) if store else None

    async def set(
        self, scope: str, key: str, value: bytes, *, expected_version: int | None = None
    ) -> Written:
        """Store a value, whatever was there before."""
        return await (await self._opened()).set(scope, key, value, expected_version=expected_version)

    async def delete(self, scope: str, key: str, *, expected_version: int | None = None) -> bytes | None:
        """Remove an entry and return its value, or None if there was none."""
        return await (await self._opened()).delete(scope, key, expected_version=expected_version)

    async def update(self, scope: str, key: str, change: Change) -> Written:
        """Replace a value by what `change` makes of it."""
        return await (await self._opened()).update(scope, key, change)

    async def list(self, scope: str) -> Sequence[bytes]:
        """Return the values of a scope in the order in which their keys were first inserted."""
        store = await self._existing()
        return await store.list(scope) if store else ()

    async def list_scopes(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the scopes that hold an entry, sorted."""
        store = await self._existing()
        return await store.list_scopes(prefix) if store else ()

    async def close(self) -> None:
        """Close what was opened, and open nothing any more. Closing twice is harmless."""
        async with self._opening:
            self._is_closed = True
            if self._store is not None:
                await self._store.close()

    async def _existing(self) -> KeyValueStore | None:
        """Return the store behind, or None if it has never been made."""
        async with self._opening:
            if self._store is None and not self._is_closed and not await asyncio.to_thread(self._exists):
                return None
            return await self._open()

    async def _opened(self) -> KeyValueStore:
        async with self._opening:
            return await self._open()

    async def _open(self) -> KeyValueStore:
        if self._store is None:
            if self._is_closed:
                raise StorageError("the store is closed; the bridge is shutting down")
            self._store = await self._open_store()
        return self._store
