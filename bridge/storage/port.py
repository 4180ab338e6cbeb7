"""The key-value port: what the built-ins may ask of a store, whichever adapter keeps it (spec 03 §1, §1.3).

A store has two levels, scope and key, and holds JSON text under them without ever parsing it. An entry that
holds `null` exists. A name is any text that UTF-8 can carry, the empty string included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from bridge.errors import BridgeError

__all__ = [
    "Change",
    "Entry",
    "KeyValueStore",
    "VersionConflictError",
    "Written",
    "next_entry",
    "require_version",
]

Change: TypeAlias = Callable[[bytes | None], bytes]
"""Computes an entry's new value from its current one, or from None where there is none.

It must be pure and quick: a store may run it on a thread of its own, and more than once.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value.

    Attributes:
        value: JSON text.
        version: 1 when the entry is created, one more with every write. An entry that was deleted and created
            again starts at 1 again.
    """

    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a write replaced and what it left behind; `old_value` is None if the entry is new."""

    old_value: bytes | None
    new_value: bytes
    version: int


class VersionConflictError(BridgeError):
    """The entry is not at the version the writer expected; nothing was written.

    Attributes:
        expected_version: What the writer expected.
        current_version: What the store holds; 0 if there is no entry.
    """

    code: ClassVar[str] = "VERSION_CONFLICT"

    def __init__(self, *, expected_version: int, current_version: int) -> None:
        super().__init__(
            f"the entry is at version {current_version}, not at the expected {expected_version}; "
            "read it again and decide anew"
        )
        self.expected_version = expected_version
        self.current_version = current_version


class KeyValueStore(Protocol):
    """Values by scope and key.

    Each operation is atomic and linearizable: it sees every write acknowledged before it began. There is no
    transaction over several keys.

    Every operation raises StorageError when the store fails or is closed.
    Cancellation: safe; a write that was under way may still happen.
    """

    async def get(self, scope: str, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""

    async def set(
        self, scope: str, key: str, value: bytes, *, expected_version: int | None = None
    ) -> Written:
        """Store a value, whatever was there before.

        Args:
            scope: The entry's scope.
            key: The entry's key.
            value: JSON text.
            expected_version: If given, write only if the entry is at this version; 0 expects no entry.

        Raises:
            VersionConflictError: The entry is at another version.
        """

    async def delete(self, scope: str, key: str, *, expected_version: int | None = None) -> bytes | None:
        """Remove an entry and return its value, or None if there was none.

        Raises:
            VersionConflictError: The entry is not at `expected_version`.
        """

    async def update(self, scope: str, key: str, change: Change) -> Written:
        """Replace a value by what `change` makes of it: read, change and write are one atomic step.

        What `change` raises reaches the caller unchanged, and nothing is written.
        """

    async def list(self, scope: str) -> Sequence[bytes]:
        """Return the values of a scope in the order in which their keys were first inserted.

        Overwriting keeps the place; deleting and setting again moves it to the end.
        """

    async def list_scopes(self, prefix: str = "") -> Sequence[str]:
        """Return the names of the scopes that hold an entry, in ascending byte order.

        Args:
            prefix: Return only names that begin with it.
        """

    async def close(self) -> None:
        """Finish the operations under way, refuse later ones and release the store.

        Closing twice is harmless.
        """


def require_version(current: Entry | None, expected_version: int | None) -> None:
    """Check the version a writer expects; None expects nothing.

    Raises:
        VersionConflictError: The entry is at another version.
    """
    current_version = current.version if current else 0
    if expected_version not in (None, current_version):
        raise VersionConflictError(expected_version=expected_version, current_version=current_version)


def next_entry(current: Entry | None, value: bytes) -> Entry:
    """Return the entry that follows the current one."""
    return Entry(value, current.version + 1 if current else 1)
