"""Entries that the bridge's own workers have, whoever has registered what."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from bridge.builtins.configuration.messages import Entry
from bridge.protocol.payload import NULL

__all__ = ["OwnedEntry"]


@dataclass(frozen=True, slots=True)
class OwnedEntry:
    """An entry of the bridge itself: it follows the configuration file until somebody sets a value.

    Attributes:
        id: The entry's id, for example `iii-queue`.
        schema: The JSON Schema of its value.
        from_file: Gives the value of the file, as it is now.
        check: Refuses a value that fits the schema and cannot be used, with `FunctionFailedError`.
    """

    id: str
    name: str
    description: str
    schema: msgspec.Raw
    from_file: Callable[[], msgspec.Raw]
    check: Callable[[object], None]

    def entry(self, stored: Entry | None) -> Entry:
        """Return the entry, with the value that was set or else that of the file."""
        value = self.from_file() if stored is None or stored.value == NULL else stored.value
        return Entry(self.id, self.name, self.description, self.schema, value)
