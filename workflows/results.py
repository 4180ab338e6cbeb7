"""What a delivery's result says beside itself, in the metadata of its payload."""

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from workflows.contract import Message

__all__ = [
    "COMPENSATION",
    "DELIVERY_ID",
    "OMITTED",
    "compensation_of",
    "delivery_id_of",
    "is_result_omitted",
]

COMPENSATION = "iii-compensation"
"""The key under which a result carries the message that undoes it."""
DELIVERY_ID = "iii-delivery"
"""The key under which it says which attempt has completed."""
OMITTED = "iii-result-omitted"
"""The key under which stands why a result could not be kept; the payload itself is null then."""


def compensation_of(result: RawValue) -> Message | None:
    """Read what a delivery says of how it is undone."""
    data = result.payload.metadata.get(COMPENSATION)
    if data is None:
        return None
    plain = Payload(metadata={"encoding": b"json/plain"}, data=data)
    compensation: Message = workflow.payload_converter().from_payload(plain, Message)
    return compensation


def delivery_id_of(result: RawValue) -> str | None:
    """Read which attempt a result is of; bridges did not always say so."""
    told = result.payload.metadata.get(DELIVERY_ID)
    return told.decode() if told else None


def is_result_omitted(result: RawValue) -> bool:
    """Tell whether a function answered more than could be kept."""
    return OMITTED in result.payload.metadata
