"""Messages into Temporal: a receipt is given only after Temporal has the message (spec 02 §2)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.calls import Call, Job
from bridge.errors import EnqueueError
from bridge.temporal.connection import TemporalAddress
from bridge.temporal.dedupe_markers import DedupeKey, DedupeMarkers
from bridge.temporal.late_calls import LateCalls
from bridge.temporal.messages import MessageMaker, NamedQueue, dedupe_key
from bridge.temporal.payload_fields import PayloadFields
from bridge.temporal.sender import TemporalSender
from workflows.contract import MOST_BYTES_IN_TEMPORAL, Message, Subscription

__all__ = ["EnqueueSettings", "TemporalEnqueuer"]

log = structlog.get_logger("bridge.queue")

_STEP_PAYLOAD_BYTES = 16 * 1024
"""The largest payload of a handler's second and later messages that its chain keeps: Temporal ends a workflow
whose history has 50 MiB."""
_LANE_MESSAGE_BYTES = 1024
"""The largest message that a lane keeps itself: 10,000, the most that Temporal lets join while one handler
runs, must fit into one history."""


@dataclass(frozen=True, slots=True)
class EnqueueSettings:
    """How messages are sent.

    Attributes:
        timeout_ms: How long Temporal may take to accept one.
        payload_limit_bytes: The largest payload of a message.
        steps_per_handler: Messages one attempt may add to its own chain; the rest become chains of their own.
    """

    timeout_ms: int = 8000
    payload_limit_bytes: int = MOST_BYTES_IN_TEMPORAL
    steps_per_handler: int = 100


class TemporalEnqueuer:
    """Accepts messages and decides where each belongs: a chain that runs, one of its own, or a lane.

    Args:
        sender: Brings them there.
        late_calls: What has become of the step whose handler sends one.
        markers: Which messages are duplicates.
        address: The namespace of Temporal that keeps the messages.
        queues: The named queues, by name.
        new_id: Makes fresh UUIDs.
        now_ms: The Unix time.
    """

    def __init__(
        self,
        sender: TemporalSender,
        late_calls: LateCalls,
        markers: DedupeMarkers,
        address: TemporalAddress,
        queues: Mapping[str, NamedQueue],
        *,
        settings: EnqueueSettings,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._sender = sender
        self._late_calls = late_calls
        self._markers = markers
        self._address = address
        self._settings = settings
        self._maker = MessageMaker(
            queues, sender.lane_of, settings.payload_limit_bytes, new_id=new_id, now_ms=now_ms
        )

    async def enqueue(self, call: Call, queue: str, *, delay_ms: int = 0) -> str:
        """Accept a message and return its receipt.

        A retried attempt that enqueues what another attempt of the same step has enqueued, or enqueues later
        because its handler goes on, gets the same receipt, and nothing is sent twice; so does whoever
        enqueues a duplicate on a queue that drops them.

        Args:
            call: What to run.
            queue: The named queue.
            delay_ms: How long the first delivery has to wait; the queue's own `delay_field` may say longer.

        Raises:
            EnqueueError: The queue is unknown, the payload does not fit, Temporal did not answer in time, or
                the handler that enqueues was given up for good.

        Cancellation: the message may or may not have been accepted.
        """
        return await self._accept(call, queue, self._maker.queue(queue), delay_ms)

    async def enqueue_once(self, call: Call, queue: str, receipt: str) -> None:
        """Accept a message under a receipt of the caller's, unless one was accepted under it before.

        Raises:
            EnqueueError: The queue is unknown, the payload does not fit, or Temporal did not answer in time.

        Cancellation: the message may or may not have been accepted.
        """
        message = replace(self.prepare(call, queue), receipt=receipt, chain_id=receipt, home=receipt)
        async with self.accepting():
            await self._send_apart(message, bytes(call.data))

    async def enqueue_copy(self, call: Call, subscription: Subscription) -> str:
        """Accept a subscriber's copy of a published message, as any message is, and return its receipt.

        Args:
            call: The subscriber's function and the message.
            subscription: What the copy takes along.

        Raises:
            EnqueueError: The message does not fit, or Temporal did not answer in time.

        Cancellation: the copy may or may not have been accepted.
        """
        terms = NamedQueue(
            rules=subscription.rules,
            group=subscription.group,
            condition_function_id=subscription.condition_function_id,
        )
        return await self._accept(call, subscription.queue, terms, subscription.delay_ms)

    async def enqueue_event(self, subscription: Subscription, receipt: str, group: str, data: bytes) -> None:
        """Accept what a subscriber is told of a chain, in the order of the chain's events.

        Args:
            subscription: The subscriber.
            receipt: Names the event and the subscriber.
            group: The chain.
            data: The event, as JSON.

        Raises:
            EnqueueError: Temporal did not answer in time.
        """
        message = self._maker.event(subscription, receipt, group)
        async with self.accepting():
            await self._sender.join_message(message, group, data)

    async def _accept(self, call: Call, queue: str, named: NamedQueue, delay_ms: int) -> str:
        fields = PayloadFields(queue, call.data)
        key = dedupe_key(named, fields)
        job, message = call.job, self._maker.make(call, queue, named, fields, delay_ms)
        if job is not None and message.receipt in job.children:
            return message.receipt
        async with self.accepting():
            if job is not None and job.is_doubtful:
                wanted = await self._late_calls.wanted(job, message.receipt)
                if wanted is None:
                    return message.receipt
                message = replace(message, receipt=wanted)
            if key is not None:
                return await self._send_unless_duplicate(message, bytes(call.data), key)
            await self._send(job, message, bytes(call.data))
        log.debug(
            "enqueued",
            step=message.receipt,
            chain_id=message.chain_id,
            queue=queue,
            function_id=message.function_id,
        )
        return message.receipt

    @asynccontextmanager
    async def accepting(self) -> AsyncIterator[None]:
        """Bound what the body asks of Temporal.

        Raises:
            EnqueueError: Temporal did not answer in time, or refused.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                yield
        except TimeoutError as exc:
            raise EnqueueError(self._no_answer()) from exc
        except RPCError as exc:
            raise EnqueueError(self._why_not(exc)) from exc

    def prepare(self, call: Call, queue: str) -> Message:
        """Return the message that an enqueue would send.

        Raises:
            EnqueueError: The queue is unknown, or the payload does not fit.
        """
        return self._maker.make(call, queue, self._maker.queue(queue), PayloadFields(queue, call.data))

    async def _send_unless_duplicate(self, message: Message, payload: bytes, key: DedupeKey) -> str:
        """Send a message if it is the first one with its value; answers the receipt of the first one.

        It gets a chain of its own, which begins once however often it is sent. It is sent here and not by the
        marker, so that messages of a group stand in line in the order of their receipts.
        """
        own = replace(message, home=message.receipt)
        first = await self._markers.claim(own, payload, key)
        if first == own.receipt:
            await self._send_apart(own, payload)
            await self._markers.release(own, key)
        return first

    async def _send(self, job: Job | None, message: Message, payload: bytes) -> None:
        if job is None:
            await self._send_first(message, payload)
        elif self._is_kept_here(job) and self._fits(job, payload):
            await self._send_step(job, message, payload)
        else:
            await self._send_apart(message, payload)

    def _is_kept_here(self, job: Job) -> bool:
        """Tell whether the chain of a job is in this namespace: a workflow keeps nothing of another."""
        return job.keeper == self._address.keeper

    def _fits(self, job: Job, payload: bytes) -> bool:
        """Tell whether a message may become a step of its enqueuer's chain, whose history has a limit."""
        enqueued = max(sum(job.enqueued.values()), job.enqueued_before + 1)
        if job.is_undoing:
            return False  # the chain begins no more steps
        return enqueued <= self._settings.steps_per_handler and (
            enqueued <= 1 or len(payload) <= _STEP_PAYLOAD_BYTES
        )

    async def _send_first(self, message: Message, payload: bytes) -> None:
        """Send what was enqueued outside any job: a small FIFO message needs no chain of its own."""
        size_bytes = len(payload) + len(message.metadata or "") + len(message.baggage or "")
        is_small = size_bytes <= _LANE_MESSAGE_BYTES and not message.not_before_ms
        if message.group is not None and is_small and not self._sender.is_watched(message):
            await self._sender.join_message(message, message.group, payload)
        else:
            await self._send_apart(message, payload)

    async def _send_apart(self, message: Message, payload: bytes) -> None:
        """Begin a chain of the message's own, under the same IiiChain; a second time changes nothing."""
        own = replace(message, home=message.receipt)
        await self._sender.start_chain(own, payload)
        await self._stand_in_line(own)

    async def _send_step(self, job: Job, message: Message, payload: bytes) -> None:
        """Add a step to the chain of its enqueuer; the chain learns of it before a lane does."""
        try:
            if job.workflow_id == self._sender.chain_of(message):
                await self._sender.add_step(message, payload)
            else:
                await self._sender.add_step_for_lane(message, payload, lane_workflow_id=job.workflow_id)
        except WorkflowAlreadyStartedError:
            await self._send_after_the_end(job, message, payload)
        except RPCError as exc:
            if exc.status is not RPCStatusCode.NOT_FOUND:
                raise
            await self._send_after_the_end(job, message, payload)
        else:
            await self._stand_in_line(message)

    async def _send_after_the_end(self, job: Job, message: Message, payload: bytes) -> None:
        """Send a message whose job has ended, and its workflow with it, unless that had it."""
        if await self._late_calls.wanted(job, message.receipt) is not None:
            await self._send_apart(message, payload)

    async def _stand_in_line(self, message: Message) -> None:
        """Have a step that its chain knows stand in its lane's line, if it has a group."""
        ticket = self._sender.ticket_of(message)
        if ticket is None or message.not_before_ms:
            return  # the chain joins when the step is due
        try:
            await self._sender.take_turn(ticket)
        except RPCError as exc:
            # The chain has the message, so the receipt stands; it will ask the lane itself.
            log.warning("lane not joined yet; the chain will", step=message.receipt, reason=str(exc))

    def _why_not(self, exc: RPCError) -> str:
        if exc.status in (
            RPCStatusCode.UNAVAILABLE,
            RPCStatusCode.DEADLINE_EXCEEDED,
            RPCStatusCode.CANCELLED,
        ):
            return self._no_answer()
        return f"Temporal refused the message ({exc.status.name}): {exc.message}"

    def _no_answer(self) -> str:
        return (
            f"Temporal at {self._address.target} did not answer within "
            f"{self._settings.timeout_ms} ms, so no receipt can be given. Try again when it is back; "
            "enqueue works then without a restart."
        )
