"""What a chain shows of itself: in the Web UI, and to whoever asks for its steps."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from temporalio import workflow

from workflows.calls import now_ms
from workflows.contract import Message, StepRecord, StepStatus

__all__ = ["ChainRecord"]

_KEPT = 2000
_CARRIED = 300
"""A record takes some 500 bytes, and Temporal takes 2 MB of arguments."""
_SHOWN = 200
_LONGEST_DETAIL = 200
_ENDED = (StepStatus.COMPLETED, StepStatus.LOST, StepStatus.DROPPED)


class ChainRecord:
    """The latest steps of a chain and how far each has come.

    Args:
        records: Those of the run before.
    """

    def __init__(self, records: Iterable[StepRecord] = ()) -> None:
        self._records = OrderedDict((record.receipt, record) for record in records)

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """All that are kept, oldest first."""
        return tuple(self._records.values())

    def carried(self) -> tuple[StepRecord, ...]:
        """Return what the next run takes along."""
        return self.steps[-_CARRIED:]

    def __contains__(self, receipt: str) -> bool:
        """Tell whether a step is among those that are kept."""
        return receipt in self._records

    def find(self, receipt: str) -> StepRecord | None:
        """Return what is kept of a step."""
        return self._records.get(receipt)

    def note(
        self, message: Message, status: StepStatus, detail: str = "", *, delivery_id: str | None = None
    ) -> None:
        """Note how far a step has come.

        Args:
            message: The step.
            status: How far.
            detail: What it waits for, or why it was lost.
            delivery_id: The attempt that completed it.
        """
        before = self._records.get(message.receipt)
        if before is None:
            before = StepRecord(
                receipt=message.receipt,
                function_id=message.function_id,
                queue=message.queue,
                status=status,
                parent=message.parent,
                compensates=message.compensates,
                enqueued_at_ms=message.enqueued_at_ms,
            )
        began_at_ms = before.began_at_ms
        if status is StepStatus.RUNNING and not began_at_ms:
            began_at_ms = now_ms()
        has_ended = status in _ENDED
        self._records[message.receipt] = replace(
            before,
            function_id=message.function_id,  # what waits may become one of two functions
            queue=message.queue,
            status=status,
            detail=detail[:_LONGEST_DETAIL],
            began_at_ms=began_at_ms,
            ended_at_ms=now_ms() if has_ended else 0,
            run_id=workflow.info().run_id if has_ended else None,
            delivery_id=delivery_id,
        )
        if len(self._records) > _KEPT:
            self._records.popitem(last=False)
        workflow.set_current_details("\n".join(map(_line, list(self._records.values())[-_SHOWN:])))


def _line(record: StepRecord) -> str:
    undoing = " (undoes a step)" if record.compensates else ""
    detail = f": {record.detail}" if record.detail else ""
    return f"- `{record.function_id}` on `{record.queue}`{undoing} {record.status}{detail}"
