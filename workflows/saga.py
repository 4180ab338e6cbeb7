"""What a chain owes: the compensations of what it has completed, the latest to be run first."""

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from temporalio.common import RawValue

from workflows.contract import MOST_BYTES_IN_TEMPORAL, Message, Tenancy
from workflows.moving import json_value
from workflows.results import is_result_omitted

__all__ = ["Saga", "again", "undo_payload"]

_DROPPED_FROM_PAYLOADS = ("input", "result")
_DECLARED_KEYS = {"function_id", "input", "result", "receipt"}
_HEADER_BYTES = 900
_LARGEST_RESULT_TOLD = 256 * 1024
"""Where Temporal keeps all payloads."""


class Saga:
    """The compensations that a chain owes, in the order in which it began to owe them.

    Args:
        owed: What it owed before it continued as new.
    """

    def __init__(self, owed: Iterable[tuple[Message, RawValue]] = ()) -> None:
        self._owed = OrderedDict((message.receipt, (message, payload)) for message, payload in owed)
        self._known = {message.receipt: message.redrives for message, _ in self._owed.values()}

    def __len__(self) -> int:
        return len(self._owed)

    def owe(self, message: Message, payload: RawValue) -> None:
        """Take a compensation, perhaps a redriven one; what declares it again changes nothing."""
        if self._known.get(message.receipt, -1) < message.redrives:
            self._known[message.receipt] = message.redrives
            self._owed[message.receipt] = (message, payload)

    def take_latest(self) -> tuple[Message, RawValue]:
        """Return the compensation that is due first, which is owed no longer."""
        return self._owed.popitem()[1]

    def carried(self, room_bytes: int) -> list[tuple[Message, RawValue]]:
        """Return what the next run takes along.

        A declared compensation that does not fit, the oldest first, keeps the names of what it undoes; its
        input and result become null.
        """
        carried = []
        for message, payload in reversed(self._owed.values()):
            room_bytes -= _HEADER_BYTES + len(payload.payload.data)
            carried.append((message, payload if room_bytes >= 0 else _without_values(payload)))
        return carried[::-1]


def again(first: Message) -> Message:
    """Return the message with which a chain begins again that has compensated what it had completed."""
    return replace(first, redrives=first.redrives + 1, restarts=first.restarts + 1, children=())


def undo_payload(step: Message, payload: RawValue, result: RawValue, tenancy: Tenancy) -> RawValue:
    """Return what a declared compensation is told: the step's function, input, result and receipt."""
    answer = result.payload.data
    is_omitted = is_result_omitted(result) or not _fits(len(payload.payload.data), len(answer), tenancy)
    return json_value(
        b'{"function_id":%b,"input":%b,"result":%b,"receipt":%b%b}'
        % (
            json.dumps(step.function_id).encode(),
            payload.payload.data,
            b"null" if is_omitted else answer,
            json.dumps(step.receipt).encode(),
            b',"result_omitted":true' if is_omitted else b"",
        )
    )


def _fits(input_bytes: int, result_bytes: int, tenancy: Tenancy) -> bool:
    if tenancy.stored_bytes is not None:
        return input_bytes + result_bytes <= tenancy.stored_bytes
    return result_bytes <= _LARGEST_RESULT_TOLD and input_bytes + result_bytes <= MOST_BYTES_IN_TEMPORAL


def _without_values(payload: RawValue) -> RawValue:
    value = json.loads(payload.payload.data)
    if not isinstance(value, dict) or not value.keys() >= _DECLARED_KEYS:
        return payload  # a handler has chosen it
    kept = {key: None if key in _DROPPED_FROM_PAYLOADS else item for key, item in value.items()}
    return json_value(json.dumps(kept).encode())
