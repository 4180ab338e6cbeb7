"""Our search attributes: created where we may, and done without where we may not."""

import asyncio

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

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
_PASSING = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED)
_PAUSE_S = 1.0


async def ensure_search_attributes(client: Client) -> bool:
    """Make the namespace know our search attributes.

    Returns:
        Whether they can be used. If not, a warning has said which command makes them. A server that is
        not ready yet is waited for.
    """
    while True:
        try:
            await _add_missing(client)
        except RPCError as exc:
            if exc.status not in _PASSING:
                _warn(client, exc)
                return False
            await asyncio.sleep(_PAUSE_S)
        else:
            return True


async def _add_missing(client: Client) -> None:
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


def _warn(client: Client, exc: RPCError) -> None:
    flags = " ".join(f"--name {each} --type {_CLI_TYPES[kind]}" for each, kind in _TYPES.items())
    log.warning(
        "search attributes are missing: the Web UI cannot search by queue, function, chain or group",
        reason=str(exc),
        remedy=f"temporal operator search-attribute create --namespace {client.namespace} {flags}",
    )
