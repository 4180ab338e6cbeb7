"""What the metadata of a function says of how its effects are undone (docs/chains.md)."""

import msgspec

__all__ = ["KEY", "Undoing", "read_undoing"]

KEY = "compensate"
_QUOTED_KEY = b'"compensate"'


class Undoing(msgspec.Struct, frozen=True):
    """The function that undoes another, and the queue that delivers it; `None` for the step's own."""

    function_id: str
    queue: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    compensate: str | Undoing | None = None


_metadata = msgspec.json.Decoder(_Metadata)


def read_undoing(metadata: msgspec.Raw | bytes) -> Undoing | None:
    """Read the entry `compensate`: a function id, or `{"function_id": …, "queue": …}`.

    Raises:
        msgspec.MsgspecError: It is something else.
    """
    if _QUOTED_KEY not in bytes(metadata):
        return None
    declared = _metadata.decode(metadata).compensate
    return Undoing(declared) if isinstance(declared, str) else declared
