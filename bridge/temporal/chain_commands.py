"""What a handler asks of its chain beyond the next step: to undo, to wait, to join."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.calls import Call, Job
from bridge.engine.chains import Target
from bridge.errors import FunctionFailedError
from bridge.temporal.enqueuer import TemporalEnqueuer
from bridge.temporal.late_calls import LateCalls
from bridge.temporal.sender import TemporalSender
from workflows.contract import Hold, Message
from workflows.names import receipt_at

__all__ = ["TemporalChainCommands"]

_LARGEST_HELD = 64 * 1024
"""What waits in a chain goes along whenever that continues in a fresh run, and Temporal takes 2 MB."""


class TemporalChainCommands:
    """Asks things of chains; every method raises `EnqueueError` when Temporal did not take them.

    Args:
        enqueuer: Makes messages.
        sender: Brings them to the chains.
        late_calls: What has become of the step whose handler asks.
        new_id: Makes fresh UUIDs.
        now_ms: The Unix time.
    """

    def __init__(
        self,
        enqueuer: TemporalEnqueuer,
        sender: TemporalSender,
        late_calls: LateCalls,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._enqueuer = enqueuer
        self._sender = sender
        self._late_calls = late_calls
        self._new_id = new_id
        self._now_ms = now_ms

    async def compensate(self, call: Call, target: Target, payload: msgspec.Raw) -> str:
        """Have the chain of the calling handler undo something if it is lost or cancelled.

        It counts from now on, whether or not the step completes.

        Returns:
            The receipt of the compensation.

        Raises:
            FunctionFailedError: No handler of a queued message made the call, or its chain has ended.
        """
        job = _job_of(call)
        if job.is_undoing:
            raise FunctionFailedError("no_chain", "A compensation is not compensated; retry it instead")
        prepared = self._prepare(call, target, payload)
        undo = replace(
            prepared,
            receipt=_receipt_after(job.restarts, prepared.receipt),
            group=None,
            compensates=job.receipt or job.home,
        )
        async with self._enqueuer.accepting():
            if job.is_doubtful:
                await self._late_calls.standing_of(job, undo.receipt)
            lane = self._lane_of(job, undo)
            if not await _is_there(self._sender.owe(undo, bytes(payload), lane_workflow_id=lane)):
                raise FunctionFailedError(
                    "chain_ended", "The chain of this handler has ended; undo what it did here and now"
                )
        return undo.receipt

    async def wait_for_event(
        self,
        call: Call,
        event: str,
        payload: msgspec.Raw,
        *,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
    ) -> str:
        """Have a chain go on with one function when an event comes, or with another when it does not come.

        Returns:
            The receipt by which the event is sent.
        """
        return await self._hold(call, payload, then, otherwise, timeout_ms, event=event)

    async def join(
        self,
        call: Call,
        receipts: tuple[str, ...],
        payload: msgspec.Raw,
        *,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
    ) -> str:
        """Have a chain go on with a function when messages have ended; it is given their results.

        Returns:
            The receipt of what waits.
        """
        return await self._hold(call, payload, then, otherwise, timeout_ms, receipts=receipts)

    async def send_event(self, chain_workflow_id: str, event: str, payload: msgspec.Raw) -> bool:
        """Tell a chain of an event; answers whether the chain ran."""
        _check_size("event", payload)
        async with self._enqueuer.accepting():
            return await _is_there(self._sender.send_event(chain_workflow_id, event, bytes(payload)))

    async def _hold(
        self,
        call: Call,
        payload: msgspec.Raw,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
        *,
        event: str | None = None,
        receipts: tuple[str, ...] = (),
    ) -> str:
        _check_size("payload", payload)
        first = self._prepare(call, then, payload)
        second = self._prepare(call, otherwise, payload) if otherwise else None
        job = call.job
        receipt = self._receipt(job, first, event, receipts)
        if job is not None and receipt in job.children:
            return receipt
        hold = Hold(
            receipt=receipt,
            then=first,
            otherwise=second,
            event=event,
            receipts=receipts,
            until_ms=self._now_ms() + timeout_ms if timeout_ms is not None else None,
        )
        if job is None or job.is_undoing:
            # Nothing encloses it, or what does begins no more steps: a chain of its own.
            hold = _at_home(hold, receipt, job.chain_id if job else receipt)
        async with self._enqueuer.accepting():
            if job is not None and job.is_doubtful:
                wanted = await self._late_calls.wanted(job, receipt)
                if wanted is None:
                    return receipt
                hold = replace(hold, receipt=wanted)
            return await self._give(job, hold, payload)

    async def _give(self, job: Job | None, hold: Hold, payload: msgspec.Raw) -> str:
        """Have the job's chain hold something, or one of its own if that has ended and had it not."""
        lane = self._lane_of(job, hold.then) if job and not job.is_undoing else None
        if await _is_there(self._sender.hold(hold, bytes(payload), lane_workflow_id=lane)):
            return hold.receipt
        if job is None or hold.then.home == hold.receipt:  # its own chain, which has had it
            return hold.receipt
        wanted = await self._late_calls.wanted(job, hold.receipt)
        if wanted is not None:
            apart = _at_home(hold, wanted, hold.then.chain_id)
            await _is_there(self._sender.hold(apart, bytes(payload), lane_workflow_id=None))
        return wanted or hold.receipt

    def _prepare(self, call: Call, target: Target, payload: msgspec.Raw) -> Message:
        asked = replace(call, function_id=target.function_id, namespace=target.namespace, data=payload)
        return self._enqueuer.prepare(asked, target.queue)

    def _receipt(self, job: Job | None, then: Message, event: str | None, receipts: tuple[str, ...]) -> str:
        """Name what waits; a retried attempt that asks for it again names it the same."""
        if job is None or job.receipt is None:
            fresh = self._new_id()
            return fresh if job is None else receipt_at(job.home, fresh)
        asked = hashlib.sha256(repr((event, receipts)).encode()).hexdigest()
        return receipt_at(job.home, str(uuid.uuid5(uuid.UUID(then.receipt), asked)))

    def _lane_of(self, job: Job, message: Message) -> str | None:
        """Return the lane that runs the step itself, if one does."""
        return None if job.workflow_id == self._sender.chain_of(message) else job.workflow_id


def _at_home(hold: Hold, home: str, chain_id: str) -> Hold:
    """Return what a chain of its own holds, under the receipt that is in the id of that chain."""
    otherwise = replace(hold.otherwise, home=home, chain_id=chain_id) if hold.otherwise else None
    then = replace(hold.then, home=home, chain_id=chain_id)
    return replace(hold, receipt=home, then=then, otherwise=otherwise)


def _receipt_after(restarts: int, receipt: str) -> str:
    """Tell what a restarted chain owes from what it owed before, which may still be a dead letter."""
    if not restarts:
        return receipt
    return receipt_at(receipt, str(uuid.uuid5(uuid.UUID(receipt), f"restart/{restarts}")))


def _check_size(what: str, data: msgspec.Raw) -> None:
    if len(data) > _LARGEST_HELD:
        raise FunctionFailedError(
            "payload_too_large",
            f"The {what} has {len(data)} bytes; a chain keeps at most {_LARGEST_HELD}. Put large data in "
            "your own storage and pass a reference to it.",
        )


async def _is_there(signalling: Awaitable[None]) -> bool:
    """Signal a workflow; answers whether it ran, or has begun with it."""
    try:
        await signalling
    except WorkflowAlreadyStartedError:
        return False
    except RPCError as exc:
        if exc.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


def _job_of(call: Call) -> Job:
    if call.job is None:
        raise FunctionFailedError(
            "no_chain",
            f"{call.function_id} belongs to a chain: call it inside a handler of a queued message. A worker "
            "that runs several handlers at once must pass their trace context on, or nobody knows which one "
            "called.",
        )
    return call.job
