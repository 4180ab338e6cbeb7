"""The store in Redis, for several bridges that share their data (spec 03 §5.4).

Layout, under a prefix such as `iii:state`; Redis 6.2 or newer:

| key | type | content |
|---|---|---|
| `<prefix>:layout` | string | the version of this layout |
| `<prefix>:entries:<scope>` | hash | key → `<version> <position> <value>` |
| `<prefix>:scopes` | sorted set | the scopes that hold an entry, all with score 0, so in byte order |
| `<prefix>:position` | integer | the position of the newest entry of any scope |

Version and position are decimal. The position is given when an entry is created and stays while it lives: it
is the order of `list`, and it tells an entry from a later one under the same key.

What is acknowledged is as durable as the server is configured to make it: with `appendonly yes` and
`appendfsync always` it survives the death of the server. A server that evicts (`maxmemory-policy` other than
`noeviction`) loses entries.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from weakref import WeakValueDictionary

from bridge.errors import StorageError
from bridge.storage.port import Change, Entry, VersionConflictError, Written, next_entry
from bridge.storage.redis_link import MAX_PENDING, RedisLink

__all__ = ["RedisStore"]

_LAYOUT_VERSION: Final = b"1"

# Both scripts compare and then write in one step of the server, and answer {was it written, what was there}.
# ARGV[3] is what the entry must be at: '' anything, a version ('0': no entry), or a version and a position.
# They are sent as text each time: the server keeps them compiled, and knows nothing of us after a restart.
_PRELUDE: Final = """
local found = redis.call('HGET', KEYS[1], ARGV[2])
local version, position = '0', nil
if found then version, position = string.match(found, '^(%d+) (%d+) ') end
if ARGV[3] ~= '' and ARGV[3] ~= version and not (found and ARGV[3] == version .. ' ' .. position) then
  return {0, found}
end
"""
_WRITE: Final = (
    _PRELUDE
    + """
if not found then
  position = string.format('%.0f', redis.call('INCR', KEYS[3]))
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
local stamp = string.format('%.0f', version + 1) .. ' ' .. position .. ' '
redis.call('HSET', KEYS[1], ARGV[2], stamp .. ARGV[4])
return {1, found}
"""
)
_REMOVE: Final = (
    _PRELUDE
    + """
if redis.call('HDEL', KEYS[1], ARGV[2]) == 1 and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return {1, found}
"""
)

_ANYTHING: Final = ""
_NO_ENTRY: Final = "0"


@dataclass(frozen=True, slots=True)
class _Record:
    """An entry as the server holds it."""

    entry: Entry
    position: int

    @classmethod
    def parse(cls, text: bytes) -> Self:
        version, position, value = text.split(b" ", 2)
        return cls(Entry(value, int(version)), int(position))

    @property
    def stamp(self) -> str:
        return f"{self.entry.version} {self.position}"


class RedisStore:
    """A `KeyValueStore` in Redis, which any number of bridges may use at the same time.

    An operation during which the connection is lost raises StorageError, and may have been done; the next one
    connects again.
    """

    def __init__(self, link: RedisLink, prefix: str) -> None:
        self._link = link
        self._prefix = prefix
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(cls, url: str, *, prefix: str, max_pending: int = MAX_PENDING) -> Self:
        """Connect to the server.

        Args:
            url: `redis://`, `rediss://` or `unix://`, with user, password and database as needed.
            prefix: What every key begins with. Stores with different prefixes share nothing.
            max_pending: Commands that may wait or run at once; further callers wait until there is room.

        Raises:
            StorageError: The server cannot be reached, or holds data in a layout of a newer bridge.
        """
        link = await RedisLink.connect(url, max_pending=max_pending)
        store = cls(link, prefix)
        try:
            await store._require_layout()
        except BaseException:
            await store.close()
            raise
        return store

    async def get(self, scope: str, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""
        record = await self._read(scope, key)
        return record.entry if record else None

    async def set(
        self, scope: str, key: str, value: bytes, *, expected_version: int | None = None
    ) -> Written:
        """Store a value, whatever was there before."""
        expected = _ANYTHING if expected_version is None else str(expected_version)
        is_written, found = await self._run(_WRITE, scope, key, expected, value)
        _require_done(is_written, found, expected_version)
        return _written(found, value)

    async def delete(self, scope: str, key: str, *, expected_version: int | None = None) -> bytes | None:
        """Remove an entry and return its value, or None if there was none."""
        expected = _ANYTHING if expected_version is None else str(expected_version)
        is_removed, found = await self._run(_REMOVE, scope, key, expected)
        _require_done(is_removed, found, expected_version)
        return found.entry.value if found else None

    async def update(self, scope: str, key: str, change: Change) -> Written:
        """Replace a value by what `change` makes of it; it runs again whenever another writer was faster.

        Each such time that writer has got ahead, so updates as a whole always do.
        """
        # The updates of one bridge take turns, so that only other bridges and plain writes get in between.
        async with self._turns.setdefault((scope, key), asyncio.Lock()):
            found = await self._read(scope, key)
            while True:
                value = change(found.entry.value if found else None)
                expected = found.stamp if found else _NO_ENTRY
                is_written, found = await self._run(_WRITE, scope, key, expected, value)
                if is_written:
                    return _written(found, value)

    async def list(self, scope: str) -> Sequence[bytes]:
        """Return the values of a scope in the order in which their keys were first inserted."""
        fields = await self._link.execute("HGETALL", self._entries(scope))
        records = sorted(map(_Record.parse, fields[1::2]), key=lambda record: record.position)
        return [record.entry.value for record in records]

    async def list_scopes(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the scopes that hold an entry, sorted."""
        first = prefix.encode()
        # No UTF-8 text holds the byte 0xff, so this is beyond everything that begins with the prefix.
        last = first + b"\xff"
        names = await self._link.execute(
            "ZRANGE", f"{self._prefix}:scopes", b"[" + first, b"(" + last, "BYLEX"
        )
        return [name.decode() for name in names]

    async def close(self) -> None:
        """Finish the operations under way, refuse later ones and disconnect."""
        await self._link.close()

    async def _require_layout(self) -> None:
        """Mark the prefix as ours if it is new, and refuse it if a newer bridge has used it."""
        await self._link.execute("SETNX", f"{self._prefix}:layout", _LAYOUT_VERSION)
        layout = await self._link.execute("GET", f"{self._prefix}:layout")
        if layout != _LAYOUT_VERSION:
            raise StorageError(
                f"the data under {self._prefix} in Redis has layout {layout!r} and this bridge knows "
                f"{_LAYOUT_VERSION!r}; start the bridge that wrote it"
            )

    def _entries(self, scope: str) -> str:
        return f"{self._prefix}:entries:{scope}"

    async def _read(self, scope: str, key: str) -> _Record | None:
        text = await self._link.execute("HGET", self._entries(scope), key)
        return None if text is None else _Record.parse(text)

    async def _run(
        self, script: str, scope: str, key: str, expected: str, *value: bytes
    ) -> tuple[bool, _Record | None]:
        keys = (self._entries(scope), f"{self._prefix}:scopes", f"{self._prefix}:position")
        is_done, found = await self._link.execute(
            "EVAL", script, len(keys), *keys, scope, key, expected, *value
        )
        return is_done == 1, None if found is None else _Record.parse(found)


def _require_done(is_done: bool, found: _Record | None, expected_version: int | None) -> None:
    if not is_done and expected_version is not None:
        raise VersionConflictError(
            expected_version=expected_version, current_version=found.entry.version if found else 0
        )


def _written(found: _Record | None, value: bytes) -> Written:
    current = found.entry if found else None
    entry = next_entry(current, value)
    return Written(current.value if current else None, entry.value, entry.version)
