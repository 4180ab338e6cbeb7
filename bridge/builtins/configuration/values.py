"""What a value means: its placeholders replaced, and checked against a JSON Schema (spec 05 §4.6)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jsonschema_rs
import msgspec

from bridge.errors import FunctionFailedError, InvalidInputError

__all__ = [
    "Expand",
    "UnsetVariableError",
    "check_schema",
    "check_value",
    "decode",
    "expanded",
    "has_placeholder",
]

Expand = Callable[[str], object]
"""Replaces the placeholders of one text; raises `LookupError`, which names a variable that is not set."""


class UnsetVariableError(Exception):
    """A value names a variable that is not set and gives no default."""


def decode(value: msgspec.Raw, what: str) -> Any:
    """Parse JSON.

    Raises:
        InvalidInputError: It is nested too deeply, or has text that is no text.
    """
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"{what} cannot be read: {exc}") from exc


def expanded(value: Any, expand: Expand) -> Any:
    """Replace the placeholders in every text of a value.

    Raises:
        UnsetVariableError: A variable is not set.
    """
    match value:
        case str():
            try:
                return expand(value)
            except LookupError as exc:
                name = exc.args[0]
                raise UnsetVariableError(
                    f"Environment variable '{name}' is not set and has no default; set it for the bridge, "
                    f"or give a default: ${{{name}:value}}"
                ) from exc
        case list():
            return [expanded(each, expand) for each in value]
        case dict():
            return {key: expanded(each, expand) for key, each in value.items()}
        case _:
            return value


def has_placeholder(value: Any) -> bool:
    """Tell whether a value takes anything from the environment."""
    match value:
        case str():
            return "${" in value
        case list():
            return any(map(has_placeholder, value))
        case dict():
            return any(map(has_placeholder, value.values()))
        case _:
            return False


def check_schema(schema: msgspec.Raw) -> None:
    """Refuse what is no JSON Schema.

    Raises:
        FunctionFailedError: `SCHEMA_INVALID`.
    """
    _validator(schema)


def check_value(schema: msgspec.Raw, value: Any) -> None:
    """Refuse a value that does not fit its schema, with every place where it does not.

    Raises:
        FunctionFailedError: `SCHEMA_INVALID`.
    """
    validator = _validator(schema)
    try:
        problems = [_problem(each) for each in validator.iter_errors(value)]
    except ValueError as exc:
        problems = [str(exc)]
    if problems:
        raise FunctionFailedError("SCHEMA_INVALID", "schema validation failed: " + "; ".join(problems))


def _validator(schema: msgspec.Raw) -> jsonschema_rs.Validator:
    try:
        return _compiled(bytes(schema))
    except jsonschema_rs.ValidationError as exc:
        place = _spell(exc.instance_path)
        where = f" at {place}" if place else ""
        reason = exc.message
    except ValueError as exc:
        where, reason = "", str(exc)
    raise FunctionFailedError("SCHEMA_INVALID", f"the schema is no JSON Schema{where}: {reason}")


@functools.lru_cache(maxsize=64)
def _compiled(schema: bytes) -> jsonschema_rs.Validator:
    # Nothing is fetched, and a pattern takes linear time, whoever wrote it.
    return jsonschema_rs.validator_for(
        decode(msgspec.Raw(schema), "The schema"),
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _problem(error: jsonschema_rs.ValidationError) -> str:
    place = _spell(error.instance_path)
    return f"{place}: {error.message}" if place else error.message


def _spell(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + part
    return text
