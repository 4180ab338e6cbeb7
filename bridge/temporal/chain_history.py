"""What the history of one run says of a message: the results are kept there and nowhere else."""

from dataclasses import dataclass

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.common import RawValue

from workflows.results import OMITTED

__all__ = ["Delivered", "delivered_in"]


class _Header(msgspec.Struct):
    receipt: str


class _Delivery(msgspec.Struct):
    message: _Header


_delivery = msgspec.json.Decoder(_Delivery)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message whose delivery a history shows.

    Attributes:
        has_ended: Whether its function has answered, with a result or with its last error.
        result: JSON; `None` when it has not succeeded, or its result could not be kept.
        omission: Why its result could not be kept.
    """

    has_ended: bool
    result: msgspec.Raw | None = None
    omission: str | None = None

    @property
    def has_succeeded(self) -> bool:
        """Whether its function has answered with a result."""
        return self.result is not None or self.omission is not None


async def delivered_in(client: Client, workflow_id: str, run_id: str | None) -> dict[str, Delivered]:
    """Read what a run has delivered, by receipt.

    Raises:
        RPCError: The run is gone, or Temporal does not answer.
    """
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    receipts: dict[int, str] = {}
    found: dict[str, Delivered] = {}
    async for event in handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            receipt = await _receipt(client, event)
            if receipt is not None:
                receipts[event.event_id] = receipt
                found[receipt] = Delivered(has_ended=False)
        elif event.HasField("activity_task_completed_event_attributes"):
            completed = event.activity_task_completed_event_attributes
            if (done := receipts.get(completed.scheduled_event_id)) is not None:
                (value,) = await client.data_converter.decode(completed.result.payloads, [RawValue])
                found[done] = _succeeded(value.payload)
        elif event.HasField("activity_task_failed_event_attributes"):
            failed = event.activity_task_failed_event_attributes
            if (lost := receipts.get(failed.scheduled_event_id)) is not None:
                found[lost] = Delivered(has_ended=True)
    return found


def _succeeded(result: Payload) -> Delivered:
    omission = result.metadata.get(OMITTED)
    if omission is not None:
        return Delivered(has_ended=True, omission=omission.decode())
    return Delivered(has_ended=True, result=msgspec.Raw(result.data))


async def _receipt(client: Client, event: HistoryEvent) -> str | None:
    payloads = event.activity_task_scheduled_event_attributes.input.payloads
    if not payloads:
        return None
    (value,) = await client.data_converter.decode(payloads[:1], [RawValue])
    try:
        return _delivery.decode(value.payload.data).message.receipt
    except msgspec.MsgspecError:  # an activity of our own
        return None
