"""The operations of `state::update` and `stream::update`, applied to one JSON value (spec 03 §1.2)."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from bridge.errors import InvalidInputError
from bridge.protocol.payload import NULL

__all__ = [
    "AppendOp",
    "DecrementOp",
    "IncrementOp",
    "MergeOp",
    "OpError",
    "RemoveOp",
    "SetOp",
    "UpdateOp",
    "UpdateResult",
    "apply_update",
    "decode_ops",
]

MAX_PATH_SEGMENTS: Final = 32
MAX_SEGMENT_BYTES: Final = 256
MAX_MERGE_KEYS: Final = 1024
MAX_MERGE_DEPTH: Final = 16
POLLUTING_NAMES: Final = frozenset({"__proto__", "constructor", "prototype"})
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1
MAX_SIGNED_INTEGER: Final = 2**63 - 1

SignedInteger = Annotated[int, msgspec.Meta(ge=MIN_INTEGER, le=MAX_SIGNED_INTEGER)]
Path: TypeAlias = str | Sequence[str] | None


class SetOp(msgspec.Struct, frozen=True, tag_field="type", tag="set"):
    """Put a value in place of whatever is there."""

    path: str
    value: msgspec.Raw = NULL


class IncrementOp(msgspec.Struct, frozen=True, tag_field="type", tag="increment"):
    """Add to a number."""

    path: str
    by: SignedInteger


class DecrementOp(msgspec.Struct, frozen=True, tag_field="type", tag="decrement"):
    """Subtract from a number."""

    path: str
    by: SignedInteger


class RemoveOp(msgspec.Struct, frozen=True, tag_field="type", tag="remove"):
    """Remove a field."""

    path: str


class MergeOp(msgspec.Struct, frozen=True, tag_field="type", tag="merge"):
    """Put the fields of an object among those that are there."""

    value: msgspec.Raw
    path: Path = None


class AppendOp(msgspec.Struct, frozen=True, tag_field="type", tag="append"):
    """Push onto an array or lengthen a string."""

    value: msgspec.Raw
    path: Path = None


_WithValue: TypeAlias = SetOp | MergeOp | AppendOp
UpdateOp: TypeAlias = SetOp | IncrementOp | DecrementOp | RemoveOp | MergeOp | AppendOp


class OpError(msgspec.Struct, frozen=True):
    """Why one operation of an update changed nothing.

    Attributes:
        op_index: The operation's place in the call, from 0.
        code: One of the constants of spec 03 §1.2.
        message: The reason in words, with the path.
        doc_url: Where iii documents the codes.
    """

    op_index: int
    code: str
    message: str
    doc_url: str = "https://iii.dev/docs/workers/iii-state#error-codes"


class UpdateResult(msgspec.Struct, frozen=True):
    """The value after all operations, as JSON text, and the operations that failed."""

    new_value: bytes
    errors: tuple[OpError, ...] = ()


_ops_decoder = msgspec.json.Decoder(tuple[UpdateOp, ...])
_value_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_LONG_NUMBER = re.compile(rb"\d{19}")
_MAX_SHOWN_CHARACTERS: Final = 200


def decode_ops(ops: bytes | msgspec.Raw) -> tuple[UpdateOp, ...]:
    """Decode the `ops` of a call.

    Raises:
        InvalidInputError: They are not an array of operations of a known type with the fields of that type.
    """
    try:
        return _ops_decoder.decode(ops)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInputError(f"the ops of the update cannot be used: {exc}") from exc


def apply_update(
    current: bytes | None, ops: Sequence[UpdateOp], *, dotted_paths: bool = False
) -> UpdateResult:
    """Apply operations in order; one that fails is reported, changes nothing and does not stop the others.

    Args:
        current: The value as JSON text, or None where there is none; `{}` then takes its place.
        ops: What to do.
        dotted_paths: Read a path string `a.b` like the array `["a", "b"]`, in every operation; iii reads it
            literally. Parents that are missing or no object become objects; only `remove` leaves them alone.

    Raises:
        InvalidInputError: A value in `ops`, or the current one, is nested too deeply or holds a number beyond
            the range of a double.
    """
    values = [
        _decode_value(op.value, "a value of the update") if isinstance(op, _WithValue) else None for op in ops
    ]
    box: _Box = {} if current is None else {_ROOT: _decode_value(current, "the stored value")}
    errors: list[OpError] = []
    for index, (op, value) in enumerate(zip(ops, values, strict=True)):
        try:
            _apply(box, op, value, dotted_paths=dotted_paths)
        except _RejectedError as rejected:
            errors.append(OpError(index, rejected.code, str(rejected)))
    try:
        return UpdateResult(_encoder.encode(box.get(_ROOT, {})), tuple(errors))
    except RecursionError as exc:
        raise InvalidInputError("the update nests the value too deeply; flatten it") from exc


class _RejectedError(Exception):
    def __init__(self, op: UpdateOp, problem: str, segments: Sequence[str], reason: str) -> None:
        name = op.__struct_config__.tag
        super().__init__(f"{name} at {_shorten(segments) if segments else 'the root'}: {reason}")
        self.code = f"{name}.{problem}"


# The value under work lies in a box, a dict with this one key, so that the root is a place like any field.
# An empty box stands for a missing value that no operation has touched yet.
_ROOT: Final = ""
_Box: TypeAlias = dict[str, Any]


def _apply(box: _Box, op: UpdateOp, value: Any, *, dotted_paths: bool) -> None:
    segments = _split_path(op.path, dotted_paths=dotted_paths)
    _require_valid_path(op, segments)
    match op:
        case SetOp():
            container, key = _locate(box, op, segments)
            container[key] = value
        case IncrementOp():
            _add(box, op, segments, op.by)
        case DecrementOp():
            _add(box, op, segments, -op.by)
        case RemoveOp():
            _remove(box, op, segments)
        case MergeOp():
            _merge(box, op, segments, value)
        case AppendOp():
            _append(box, op, segments, value)


def _split_path(path: Path, *, dotted_paths: bool) -> Sequence[str]:
    """Return the keys from the root to the place; none for the root itself."""
    if not path:
        return ()
    if isinstance(path, str):
        return path.split(".") if dotted_paths else (path,)
    return path


def _require_valid_path(op: UpdateOp, segments: Sequence[str]) -> None:
    if len(segments) > MAX_PATH_SEGMENTS:
        raise _RejectedError(
            op, "path.too_deep", segments, f"a path has at most {MAX_PATH_SEGMENTS} segments"
        )
    for segment in segments:
        if not segment:
            raise _RejectedError(op, "path.empty_segment", segments, "a segment is empty")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            reason = f"the segment {_shorten(segment)} is longer than {MAX_SEGMENT_BYTES} bytes"
            raise _RejectedError(op, "path.segment_too_long", segments, reason)
        if segment in POLLUTING_NAMES:
            raise _RejectedError(op, "path.proto_polluted", segments, f"the segment {segment} is not allowed")


def _require_object_root(box: _Box, op: UpdateOp, segments: Sequence[str]) -> dict[str, Any]:
    root = box.setdefault(_ROOT, {})
    if not isinstance(root, dict):
        raise _RejectedError(op, "target_not_object", segments, "the value is no object, so it has no fields")
    return root


def _locate(box: _Box, op: UpdateOp, segments: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return the object and the key in it that a path leads to, creating the objects on the way."""
    if not segments:
        return box, _ROOT
    *parents, key = segments
    return _descend(_require_object_root(box, op, segments), parents), key


def _descend(container: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the object that keys lead to; put an object wherever there is none."""
    for key in keys:
        child = container.get(key)
        if not isinstance(child, dict):
            child = container[key] = {}
        container = child
    return container


def _add(box: _Box, op: IncrementOp | DecrementOp, segments: Sequence[str], amount: int) -> None:
    container, key = _locate(box, op, segments)
    total = container.get(key, 0)
    if isinstance(total, bool) or not isinstance(total, int | float):
        raise _RejectedError(op, "not_number", segments, "the target is no number")
    total += amount
    if isinstance(total, int) and not MIN_INTEGER <= total <= MAX_INTEGER:
        raise _RejectedError(op, "not_number", segments, "the result is beyond the range of integers")
    container[key] = total


def _remove(box: _Box, op: RemoveOp, segments: Sequence[str]) -> None:
    if not segments:
        box[_ROOT] = None
        return
    container: Any = _require_object_root(box, op, segments)
    *parents, key = segments
    for parent in parents:
        container = container.get(parent)
        if not isinstance(container, dict):
            return
    container.pop(key, None)


def _merge(box: _Box, op: MergeOp, segments: Sequence[str], value: Any) -> None:
    if not isinstance(value, dict):
        raise _RejectedError(op, "value.not_an_object", segments, "only an object can be merged")
    if len(value) > MAX_MERGE_KEYS:
        reason = f"the value has {len(value)} keys, at most {MAX_MERGE_KEYS} are allowed"
        raise _RejectedError(op, "value.too_many_keys", segments, reason)
    if polluting := POLLUTING_NAMES & value.keys():
        reason = f"the key {min(polluting)} is not allowed"
        raise _RejectedError(op, "value.proto_polluted", segments, reason)
    if _is_deeper_than(MAX_MERGE_DEPTH, value):
        reason = f"the value is nested deeper than {MAX_MERGE_DEPTH} levels"
        raise _RejectedError(op, "value.too_deep", segments, reason)
    if not segments and not isinstance(box.get(_ROOT, {}), dict):
        return  # spec 03 §1.2: nothing happens, and that is no error
    _descend(box, (_ROOT, *segments)).update(value)


def _append(box: _Box, op: AppendOp, segments: Sequence[str], value: Any) -> None:
    container, key = _locate(box, op, segments)
    if key not in container:
        is_nested = len(segments) > 1
        container[key] = value if isinstance(value, str) and not is_nested else [value]
        return
    match container[key]:
        case None:
            container[key] = value if isinstance(value, str) else [value]
        case list() as items:
            items.append(value)
        case str() if isinstance(value, str):
            text = container[key]
            container[key] = None  # text that has no other owner is lengthened in place, not copied each time
            text += value
            container[key] = text
        case _:
            raise _RejectedError(op, "type_mismatch", segments, "the target cannot take this value")


def _is_deeper_than(levels: int, value: Any) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper_than(levels - 1, child) for child in value)


def _decode_value(text: bytes | msgspec.Raw, what: str) -> Any:
    try:
        value = _value_decoder.decode(text)
        return _with_doubles(value) if _LONG_NUMBER.search(memoryview(text)) else value
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError) as exc:
        raise InvalidInputError(f"{what} cannot be used: {exc}") from exc


def _with_doubles(value: Any) -> Any:
    """Return a value with the integers no 64 bits can hold as doubles (spec 03 §0)."""
    if isinstance(value, dict):
        return {key: _with_doubles(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_doubles(child) for child in value]
    if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        return float(value)
    return value


def _shorten(path: str | Sequence[str]) -> str:
    """Return a path as JSON, cut to a length that fits a message."""
    text = _encoder.encode(path).decode()
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + "…"
