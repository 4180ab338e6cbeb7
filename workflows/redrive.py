"""A dead message on its way again: once, whatever fails in between."""

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.attributes import message_attributes
from workflows.calls import call, signal
from workflows.contract import Activity, ChainStart, DeadLetter, Message, Parcel, Signal, Ticket
from workflows.names import chain_id, task_queue, workflow_type
from workflows.saga import again

__all__ = ["send_again"]

_PATCH = "iii.redrive_by_the_workflow"
_PAUSE = timedelta(seconds=1)
_SUMMARY_LENGTH = 200


async def send_again(
    letter: DeadLetter, payload: RawValue, restart: tuple[Message, RawValue] | None = None
) -> None:
    """Give a dead message back to the chain that is its home, which begins again if it has ended.

    Temporal does what a workflow asks for exactly once; an activity that had succeeded and was tried again
    would send the message twice, if its chain has ended by then.

    Args:
        letter: The dead letter.
        payload: The message's payload.
        restart: The first message of its chain and the payload, if the chain compensated what it had
            completed: it is sent instead.
    """
    lost = letter.message
    if restart is not None:
        parcel, payload = Parcel(again(restart[0])), restart[1]
    else:
        parcel = Parcel(replace(lost, redrives=lost.redrives + 1, children=letter.children))
    if not workflow.patched(_PATCH):
        await call(letter.tenancy, Activity.REDRIVE, parcel, payload)
        return
    message, chain = parcel.message, chain_id(letter.tenancy, lost.home)
    while not await signal(chain, Signal.ENQUEUE, parcel, payload):
        if await _begins(chain, letter, parcel, payload):
            break
        await workflow.sleep(_PAUSE)
    if message.group is not None:
        ticket = Ticket(message.receipt, message.queue, message.group, chain)
        await call(letter.tenancy, Activity.JOIN_LANE, ticket)


def _start(letter: DeadLetter, parcel: Parcel) -> ChainStart:
    return ChainStart(
        letter.tenancy, parcels=(parcel,), lets_attempts_finish=True, is_watched=letter.is_watched
    )


async def _begins(chain: str, letter: DeadLetter, parcel: Parcel, payload: RawValue) -> bool:
    """Begin a chain anew; answers whether nobody was faster."""
    message, tenancy = parcel.message, letter.tenancy
    try:
        await workflow.start_child_workflow(
            workflow_type(message.function_id),
            args=[_start(letter, parcel), payload],
            id=chain,
            task_queue=task_queue(tenancy),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=message_attributes(tenancy, message),
            static_summary=f"queue {message.queue}"[:_SUMMARY_LENGTH],
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
