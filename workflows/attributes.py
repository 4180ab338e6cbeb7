"""Search attributes of what is about one message: how it is found in the Web UI."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workflows.contract import Message, SearchAttribute, Tenancy
from workflows.names import search_text

__all__ = ["keywords", "message_attributes"]


def message_attributes(tenancy: Tenancy, message: Message) -> TypedSearchAttributes:
    """Return the attributes of a chain or a dead letter; none where the namespace does not know them."""
    if not tenancy.has_search_attributes:
        return TypedSearchAttributes.empty
    return keywords(
        {
            SearchAttribute.QUEUE: message.queue,
            SearchAttribute.FUNCTION: message.function_id,
            SearchAttribute.CHAIN: message.chain_id,
        }
    )


def keywords(values: dict[SearchAttribute, str]) -> TypedSearchAttributes:
    """Return Keyword attributes, each shortened to what fits."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(key), search_text(value))
            for key, value in values.items()
        ]
    )
