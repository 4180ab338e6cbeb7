"""Search attributes of other people's workflows, typed by their values."""

from collections.abc import Mapping
from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from bridge.engine.workflows import Scalar
from bridge.temporal.query_text import quoted

__all__ = ["literal", "typed_attributes"]


def typed_attributes(values: Mapping[str, Scalar | tuple[str, ...]]) -> TypedSearchAttributes:
    """Return attributes as the SDK takes them."""
    return TypedSearchAttributes([_pair(name, value) for name, value in values.items()])


def literal(value: Scalar) -> str:
    """Return a value as visibility reads it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case _:
            return str(value)


def _pair(name: str, value: Scalar | tuple[str, ...]) -> SearchAttributePair[Any]:
    match value:
        case bool():
            return SearchAttributePair(SearchAttributeKey.for_bool(name), value)
        case int():
            return SearchAttributePair(SearchAttributeKey.for_int(name), value)
        case float():
            return SearchAttributePair(SearchAttributeKey.for_float(name), value)
        case str():
            return SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
        case _:
            return SearchAttributePair(SearchAttributeKey.for_keyword_list(name), value)
