"""Raw JSON payloads: bytes that travel unparsed, and the few edits made to them without parsing.

A payload is a `msgspec.Raw`: one complete JSON value, already checked for syntax by the decoder of the
frame it came in. The edits here splice text at the ends of an object and never look at what is inside.
"""

import re
from typing import Final

import msgspec

__all__ = ["ABSENT", "NULL", "absent", "encode", "is_object", "is_present", "with_entry"]

NULL: Final = msgspec.Raw(b"null")
ABSENT: Final = msgspec.Raw(b"")

_EMPTY_OBJECT = re.compile(rb"\{\s*\}")
_encoder = msgspec.json.Encoder()


def absent() -> msgspec.Raw:
    """Return `ABSENT`: the default factory of dataclass fields, which take no unhashable default."""
    return ABSENT


def encode(value: object) -> msgspec.Raw:
    """Encode a value as a payload."""
    return msgspec.Raw(_encoder.encode(value))


def is_present(payload: msgspec.Raw) -> bool:
    """Tell whether a payload is neither absent nor `null`: the two are one in iii (spec 01 §1.7)."""
    return payload not in (ABSENT, NULL)


def is_object(payload: msgspec.Raw) -> bool:
    """Tell whether a payload is a JSON object."""
    return bytes(memoryview(payload)[:1]) == b"{"


def with_entry(payload: msgspec.Raw, key: str, value: object) -> msgspec.Raw:
    """Return a JSON object with one entry added at its end, where it wins over an equal key before it.

    Args:
        payload: A JSON object.
        key: The entry's name.
        value: The entry's value: anything the encoder takes, or a payload.
    """
    text = bytes(payload)
    entry = _encoder.encode({key: value})
    if _EMPTY_OBJECT.fullmatch(text):
        return msgspec.Raw(entry)
    return msgspec.Raw(b"%b,%b" % (text[: text.rindex(b"}")], entry[1:]))
