"""What the history of one run says of a message: the results are kept there and nowhere else."""

from dataclasses import dataclass

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.common import RawValue

from bridge.errors import EngineError
from workflows.results import OMITTED

__all__ = ["Result", "delivered_in", "read_result"]


class _Header(msgspec.Struct):
    receipt: str


class _Delivery(msgspec.Struct):
    message: _Header


_delivery = msgspec.json.Decoder(_Delivery)


@dataclass(frozen=True, slots=True)
class Result:
    """What a function answered.

    Attributes:
        value: JSON; `None` when it could not be kept.
        omission: Why it could not.
    """

    value: msgspec.Raw | None
    omission: str | None = None


async def delivered_in(client: Client, workflow_id: str, run_id: str | None) -> dict[str, Payload | None]:
    """Read what a run has delivered, by receipt: the result as Temporal keeps it, `None` without success.

    Raises:
        RPCError: The run is gone, or Temporal does not answer.
    """
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    receipts: dict[int, str] = {}
    found: dict[str, Payload | None] = {}
    async for event in handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            receipt = await _receipt(client, event)
            if receipt is not None:
                receipts[event.event_id] = receipt
                found[receipt] = None
        elif event.HasField("activity_task_completed_event_attributes"):
            completed = event.activity_task_completed_event_attributes
            if (done := receipts.get(completed.scheduled_event_id)) is not None:
                (found[done],) = completed.result.payloads
    return found


async def read_result(client: Client, kept: Payload) -> Result:
    """Read a result, which may have to be fetched from where large ones are.

    Raises:
        EngineError: It cannot be read.
    """
    try:
        (value,) = await client.data_converter.decode([kept], [RawValue])
    except (RuntimeError, ValueError) as exc:
        raise EngineError(f"A result cannot be read: {exc}") from exc
    omission = value.payload.metadata.get(OMITTED)
    if omission is not None:
        return Result(None, omission.decode())
    return Result(msgspec.Raw(value.payload.data))


async def _receipt(client: Client, event: HistoryEvent) -> str | None:
    payloads = event.activity_task_scheduled_event_attributes.input.payloads
    if not payloads:
        return None
    (value,) = await client.data_converter.decode(payloads[:1], [RawValue])
    try:
        return _delivery.decode(value.payload.data).message.receipt
    except msgspec.MsgspecError:  # an activity of our own
        return None
