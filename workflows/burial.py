"""What becomes of a lost message: a dead letter, which outlives the workflow that lost it."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.attributes import message_attributes
from workflows.calls import now_ms
from workflows.contract import DeadLetter, Message, Tenancy, WorkflowType
from workflows.delivery import DeliveryLostError
from workflows.names import dead_letter_id, task_queue

__all__ = ["bury"]

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=5)
_LISTED_ERROR_LENGTH = 500
_SUMMARY_LENGTH = 200


async def bury(
    message: Message,
    payload: RawValue,
    death: DeliveryLostError,
    *,
    tenancy: Tenancy,
    children: Sequence[str],
    is_watched: bool = False,
) -> str:
    """Start the dead letter that keeps a lost message until somebody redrives or discards it.

    Args:
        message: The lost message.
        payload: Its payload.
        death: Why it is lost.
        tenancy: The names to use.
        children: Receipts that its attempts enqueued.
        is_watched: Whether somebody wants to be told of the chain's events.

    Returns:
        The workflow id of the dead letter.
    """
    letter = DeadLetter(
        tenancy=tenancy,
        message=message,
        code=death.lost.code,
        error=death.lost.error,
        failed_at_ms=now_ms(),
        attempts_made=death.progress.attempts_made,
        workflow_id=workflow.info().workflow_id,
        run_id=workflow.info().run_id,
        stacktrace=death.lost.stacktrace,
        attempts=death.progress.attempts,
        children=tuple(children),
        is_watched=is_watched,
    )
    pause = _FIRST_PAUSE
    while True:
        try:
            return await _start_dead_letter(letter, payload)
        except WorkflowAlreadyStartedError:
            # The same message died again before its redriven dead letter had closed.
            await workflow.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


async def _start_dead_letter(letter: DeadLetter, payload: RawValue) -> str:
    message, tenancy = letter.message, letter.tenancy
    child = await workflow.start_child_workflow(
        WorkflowType.DEAD_LETTER,
        args=[letter, payload],
        id=dead_letter_id(tenancy, message.queue, message.receipt),
        task_queue=task_queue(tenancy),
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        memo={
            "queue": message.queue,
            "function_id": message.function_id,
            "receipt": message.receipt,
            "chain_id": message.chain_id,
            "group": message.group,
            "code": letter.code,
            "error": letter.error[:_LISTED_ERROR_LENGTH],
            "attempts": letter.attempts_made,
            "failed_at_ms": letter.failed_at_ms,
            "size_bytes": len(payload.payload.data),
        },
        search_attributes=message_attributes(tenancy, message),
        static_summary=f"{message.function_id}: {letter.error}"[:_SUMMARY_LENGTH],
    )
    return child.id
