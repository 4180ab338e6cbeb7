"""What workflows of ours are started with, beside what a workflow itself gives its children."""

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue, TypedSearchAttributes

from workflows.attributes import keywords
from workflows.contract import SearchAttribute, Tenancy
from workflows.names import lane_id, receipt_tag

__all__ = ["SUMMARY_LENGTH", "lane_attributes", "raw_value"]

SUMMARY_LENGTH = 200


def raw_value(data: bytes) -> RawValue:
    """Return JSON text as an argument that nobody decodes."""
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))


def lane_attributes(tenancy: Tenancy, queue: str, group: str) -> TypedSearchAttributes:
    """Return what a lane is found by."""
    if not tenancy.has_search_attributes:
        return TypedSearchAttributes.empty
    tag = receipt_tag(lane_id(tenancy, queue, group))
    return keywords({SearchAttribute.QUEUE: queue, SearchAttribute.GROUP: group, SearchAttribute.CHAIN: tag})
