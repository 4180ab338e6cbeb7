"""What a queue reads from its messages: the top-level fields that the configuration names (spec 02 §1.1)."""

from functools import cached_property

import msgspec

from bridge.errors import EnqueueError
from bridge.protocol.payload import is_object, is_present
from workflows.names import shorten

__all__ = ["DEFAULT_MAX_PRIORITY", "PayloadFields"]

DEFAULT_MAX_PRIORITY = 4
"""Every priority up to it has a level of its own."""

_LONGEST_VALUE = 200
_LONGEST_DELAY_MS = 365 * 24 * 3600 * 1000
_PRIORITY_LEVELS = 5
"""Temporal's own default: 1 is the most urgent."""
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_integer = msgspec.json.Decoder(int)


class PayloadFields:
    """The top-level fields of one message.

    Args:
        queue: The queue, for the texts of errors.
        data: The payload. It is decoded when the first field is asked for, and no deeper than that.
    """

    def __init__(self, queue: str, data: msgspec.Raw) -> None:
        self._queue = queue
        self._data = data

    def group(self, field: str) -> str:
        """Read the FIFO group (spec 02 §2.3): any value but null, as text.

        Raises:
            EnqueueError: The payload has none.
        """
        return self._required(field, f"FIFO queue '{self._queue}'")

    def dedupe_value(self, field: str) -> str:
        """Read what makes two messages the same: any value but null, as text.

        Raises:
            EnqueueError: The payload has none.
        """
        return self._required(field, f"Queue '{self._queue}', which drops duplicates,")

    def priority_key(self, field: str, highest: int) -> int:
        """Read the priority as Temporal has it; a message without a usable one is the least urgent.

        Args:
            field: The field: an integer from 0, larger is more urgent.
            highest: Larger ones count as this one; beyond 4, neighbours share one of Temporal's levels.
        """
        priority = self._integer(field)
        if priority is None or priority < 0:
            return _PRIORITY_LEVELS
        level = min(priority, highest)
        if highest >= _PRIORITY_LEVELS:
            level = level * _PRIORITY_LEVELS // (highest + 1)
        return _PRIORITY_LEVELS - level

    def delay_ms(self, field: str) -> int:
        """Read how long the first delivery has to wait; a payload without the field has no delay.

        Raises:
            EnqueueError: The value is no number of milliseconds up to a year.
        """
        if field not in self._values:
            return 0
        delay_ms = self._integer(field)
        if delay_ms is None or not 0 <= delay_ms <= _LONGEST_DELAY_MS:
            raise EnqueueError(
                f"Queue '{self._queue}' reads a delay from the field '{field}', and its value is not an "
                f"integer from 0 to {_LONGEST_DELAY_MS}. Give milliseconds, or leave the field out."
            )
        return delay_ms

    @cached_property
    def _values(self) -> dict[str, msgspec.Raw]:
        return _fields.decode(self._data) if is_object(self._data) else {}

    def _integer(self, field: str) -> int | None:
        value = self._values.get(field)
        if value is None:
            return None
        try:
            return _integer.decode(value)
        except msgspec.ValidationError:
            return None

    def _required(self, field: str, who: str) -> str:
        if not is_object(self._data):
            raise EnqueueError(f"{who} needs an object with the field '{field}'; the payload is not one.")
        value = self._values.get(field)
        if value is None:
            raise EnqueueError(f"{who} needs the field '{field}' in the payload; it is missing.")
        if not is_present(value):
            raise EnqueueError(f"{who} needs the field '{field}'; it must not be null.")
        decoded = msgspec.json.decode(value)
        text = decoded if isinstance(decoded, str) else msgspec.json.encode(decoded, order="sorted").decode()
        return shorten(text, _LONGEST_VALUE)
