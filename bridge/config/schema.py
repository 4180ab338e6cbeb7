"""What the JSON schema of a block says about one of its keys."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.config.block import Block

__all__ = ["Place", "locate", "scalar_paths"]

JsonSchema = Mapping[str, Any]
_SHOWN_BOUND = 2**63


class Place:
    """A key of a block: the way to it as the file spells it, and what may stand there."""

    def __init__(self, path: tuple[str | int, ...], schemas: Sequence[JsonSchema]) -> None:
        self.path = path
        self._schemas = schemas

    @property
    def keys(self) -> list[str]:
        """The keys that a mapping at this place may have, in the order of the documentation."""
        return list(dict.fromkeys(key for schema in self._schemas for key in schema.get("properties", ())))

    @property
    def tags(self) -> list[str]:
        """The names by which the alternatives at this place are told apart."""
        return [tag for schema in self._schemas if (tag := _tag(schema)) is not None]

    @property
    def is_text(self) -> bool:
        """Whether any text is acceptable here, also one that looks like a number."""
        return any(schema.get("type") == "string" for schema in self._schemas)

    def __str__(self) -> str:
        return " or ".join(dict.fromkeys(map(_describe, self._schemas)))


def locate(model: type[Block], location: tuple[str | int, ...]) -> Place:
    """Follow one of pydantic's error locations, which also name the chosen branch of a union."""
    root = _schema_of(model)
    schemas = list(_branches(root, root))
    path: list[str | int] = []
    if location[-1:] == ("[key]",):  # the name of an entry is wrong, not its value
        location = location[:-1]
    for part in location:
        if len(schemas) > 1 and (chosen := [schema for schema in schemas if _tag(schema) == part]):
            schemas = chosen
            continue
        path.append(part)
        schemas = [inner for schema in schemas for inner in _step(root, schema, part)]
    return Place(tuple(path), schemas)


def scalar_paths(model: type[Block]) -> Iterator[tuple[str, ...]]:
    """List the ways to every key of a block that holds a single value and no list or mapping."""
    root = _schema_of(model)
    yield from _scalars(root, root, ())


def _scalars(root: JsonSchema, schema: JsonSchema, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for branch in _branches(root, schema):
        if "properties" in branch:
            for key, inner in branch["properties"].items():
                yield from _scalars(root, inner, (*path, key))
        elif branch.get("type") not in ("object", "array", "null"):
            yield path


@functools.cache
def _schema_of(model: type[Block]) -> JsonSchema:
    return model.model_json_schema()


def _branches(root: JsonSchema, schema: JsonSchema) -> Iterator[JsonSchema]:
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        yield from _branches(root, target)
    elif choices := schema.get("anyOf") or schema.get("oneOf"):
        for choice in choices:
            yield from _branches(root, choice)
    else:
        yield schema


def _step(root: JsonSchema, schema: JsonSchema, part: str | int) -> Iterator[JsonSchema]:
    if isinstance(part, int):
        inner = schema.get("items")
    else:
        inner = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
    if isinstance(inner, Mapping):
        yield from _branches(root, inner)


def _tag(schema: JsonSchema) -> str | None:
    properties = schema.get("properties", {})
    discriminator = properties.get("name") or properties.get("type") or {}
    tag = discriminator.get("const")
    return tag if isinstance(tag, str) else None


def _describe(schema: JsonSchema) -> str:
    if schema.get("type") == "object":  # its description is the docstring of a class
        return "a mapping"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    return str(schema.get("const") or schema.get("description") or _describe_type(schema))


def _describe_type(schema: JsonSchema) -> str:
    match schema:
        case {"type": "array", "items": {"type": "string"}}:
            text = "a list of text"
        case {"type": "array"}:
            text = "a list"
        case {"type": "boolean"}:
            text = "true or false"
        case {"type": "integer"}:
            text = "an integer" + _bounds(schema)
        case {"type": "number"}:
            text = "a number" + _bounds(schema)
        case {"format": "file-path"}:
            text = "the path of a file that exists"
        case {"type": "string"}:
            text = "text, not empty" if schema.get("minLength") else "text"
        case {"type": "null"}:
            text = "null"
        case _:
            text = "any value"
    return text


def _bounds(schema: JsonSchema) -> str:
    above, low, high = (schema.get(key) for key in ("exclusiveMinimum", "minimum", "maximum"))
    texts = [f" above {above}" if above is not None else "", f" from {low}" if low is not None else ""]
    if high is not None and high < _SHOWN_BOUND:
        texts.append(f" to {high}" if low is not None else f" up to {high}")
    return "".join(texts)
