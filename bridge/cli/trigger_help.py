"""What one function takes, as text, from what it registered (spec 05 §8.2)."""

from collections.abc import Iterator

import msgspec

__all__ = ["describe_function"]

_NO_PARAMETERS = "It says nothing about its parameters."


class _Property(msgspec.Struct, frozen=True):
    type: str | list[str] | None = None
    description: str = ""
    ref: str | None = msgspec.field(default=None, name="$ref")
    any_of: list["_Property"] = msgspec.field(default=[], name="anyOf")
    one_of: list["_Property"] = msgspec.field(default=[], name="oneOf")

    @property
    def type_name(self) -> str:
        if self.ref is not None:
            return self.ref.rpartition("/")[2]
        if self.any_of or self.one_of:
            return "|".join(dict.fromkeys(each.type_name for each in (*self.any_of, *self.one_of)))
        if isinstance(self.type, list):
            return "|".join(self.type)
        return self.type or "any"


class _Schema(msgspec.Struct, frozen=True):
    title: str | None = None
    properties: dict[str, _Property] = {}
    required: list[str] = []


class _Function(msgspec.Struct, frozen=True):
    function_id: str
    description: str | None = None
    request_schema: msgspec.Raw = msgspec.Raw()
    request_format: msgspec.Raw = msgspec.Raw()


def describe_function(info: msgspec.Raw) -> str:
    """Return a function's title, description and parameters.

    Args:
        info: The answer of `engine::functions::info`.
    """
    function = msgspec.json.decode(info, type=_Function)
    schema = _schema(function)
    title = f"{function.function_id}: {schema.title}" if schema.title else function.function_id
    paragraphs = [title, function.description or "", "\n".join(_parameters(schema)) or _NO_PARAMETERS]
    return "\n\n".join(filter(None, paragraphs))


def _schema(function: _Function) -> _Schema:
    """Read the schema; one that no reader of JSON Schema would understand describes nothing."""
    for schema in (function.request_schema, function.request_format):
        try:
            return msgspec.json.decode(schema, type=_Schema)
        except msgspec.DecodeError:
            continue
    return _Schema()


def _parameters(schema: _Schema) -> Iterator[str]:
    if not schema.properties:
        return
    rows = [("NAME", "TYPE", "REQUIRED", "DESCRIPTION")]
    for name, each in schema.properties.items():
        is_required = "yes" if name in schema.required else "no"
        rows.append((name, each.type_name, is_required, " ".join(each.description.split())))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield "Parameters:"
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()
