"""Our search attributes: created where we may, and done without where we may not."""

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

from workflows.contract import SearchAttribute

__all__ = ["ensure_search_attributes"]

log = structlog.get_logger("bridge.temporal")

_TYPES = {
    attribute: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    for attribute in SearchAttribute
    if attribute is not SearchAttribute.WAITING
} | {SearchAttribute.WAITING: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST}
_CLI_TYPES = {
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST: "KeywordList",
}


async def ensure_search_attributes(client: Client) -> bool:
    """Make the namespace know our search attributes.

    Returns:
        Whether they can be used. If not, a warning has said which command makes them.
    """
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        missing = {each: kind for each, kind in _TYPES.items() if each not in known.custom_attributes}
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace,
                    search_attributes={str(each): kind for each, kind in missing.items()},
                )
            )
    except RPCError as exc:
        flags = " ".join(f"--name {each} --type {_CLI_TYPES[kind]}" for each, kind in _TYPES.items())
        log.warning(
            "search attributes are missing: the Web UI cannot search by queue, function, chain or group",
            reason=str(exc),
            remedy=f"temporal operator search-attribute create --namespace {client.namespace} {flags}",
        )
        return False
    return True
