"""What does not fit into the next run's start moves into chains of its own."""

from collections.abc import Iterable, Sequence

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from workflows.calls import call
from workflows.contract import Activity, Parcel, Tenancy

__all__ = ["Loaded", "batches", "json_value", "move_to_chains", "size_bytes"]

Loaded = tuple[Parcel, RawValue]
"""A message on the move, and its payload."""

_HEADER_BYTES = 1500
_BATCH_BYTES = 1_000_000
"""Temporal takes 2 MB of arguments; one large payload alone may be nearly that."""


def size_bytes(parcel: Parcel, payload: RawValue) -> int:
    """Estimate what a message takes of a workflow's or an activity's arguments."""
    message = parcel.message
    texts = (message.metadata, message.baggage, *message.children)
    return _HEADER_BYTES + len(payload.payload.data) + sum(len(text) for text in texts if text)


async def move_to_chains(tenancy: Tenancy, loads: Sequence[Loaded]) -> None:
    """Have messages go on in chains of their own; when this returns, Temporal has them there."""
    for batch in batches(loads):
        parcels = [parcel for parcel, _ in batch]
        payloads = json_value(b"[%b]" % b",".join(payload.payload.data for _, payload in batch))
        await call(tenancy, Activity.MOVE_TO_CHAIN, parcels, payloads)


def batches(loads: Iterable[Loaded]) -> Iterable[list[Loaded]]:
    """Divide messages into what one activity takes, each with at least one."""
    batch: list[Loaded] = []
    room = _BATCH_BYTES
    for load in loads:
        needed = size_bytes(*load)
        if batch and needed > room:
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(load)
        room -= needed
    if batch:
        yield batch


def json_value(data: bytes) -> RawValue:
    """Return JSON text as a value that nobody decodes."""
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))
