"""What workers ran, on disk before anybody is told: the journal survives kill -9."""

import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

__all__ = ["Journal", "Kind", "Line", "count_lines", "read_lines"]


class Kind(StrEnum):
    """What a line notes: an attempt has begun or done its work, or has been given a receipt."""

    BEGUN = "begun"
    DONE = "done"
    ENQUEUED = "enqueued"


class Line(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        at_s: Unix time.
        receipt: The message that ran; of `ENQUEUED` the one that it enqueued.
        function_id: Of that message.
        attempt: Which delivery of the message that ran.
    """

    kind: Kind
    at_s: float
    receipt: str
    function_id: str
    attempt: int


_line = msgspec.json.Decoder(Line)


class Journal:
    """The journal of one worker, which goes on in the file of its predecessor."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, kind: Kind, receipt: str, function_id: str, attempt: int) -> None:
        """Append a line; it is on disk when this returns."""
        line = Line(kind, time.time(), receipt, function_id, attempt)
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        os.fsync(self._file)


def read_lines(directory: Path) -> Iterator[Line]:
    """Read all journals of a directory, one after the other."""
    for path in sorted(directory.glob("*.jsonl")):
        yield from (_line.decode(text) for text in path.read_bytes().splitlines())


def count_lines(directory: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in directory.glob("*.jsonl"))
