"""Messages into Temporal: a receipt is given only after Temporal has the message (spec 02 §2)."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowQueryRejectedError
from temporalio.common import (
    QueryRejectCondition,
    RawValue,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.calls import Call, Job
from bridge.engine.tracing import new_traceparent
from bridge.errors import EnqueueError
from bridge.protocol.payload import is_object, is_present
from bridge.temporal.connection import TemporalConnection
from workflows.contract import (
    ChainStart,
    ChildEnqueued,
    LaneStart,
    Message,
    Parcel,
    Query,
    RetryRules,
    SearchAttribute,
    Signal,
    Tenancy,
    Ticket,
    WorkflowType,
)
from workflows.names import chain_id, lane_id, search_text, shorten, task_queue

__all__ = ["EnqueueSettings", "NamedQueue", "TemporalEnqueuer"]

log = structlog.get_logger("bridge.queue")

_SUMMARY_LENGTH = 200
_LONGEST_GROUP = 200
_STEP_PAYLOAD_BYTES = 16 * 1024
"""The largest payload of a handler's second and later messages that its chain keeps: Temporal ends a workflow
whose history has 50 MiB."""
_LANE_MESSAGE_BYTES = 1024
"""The largest message that a lane keeps itself: 10,000, the most that Temporal lets join while one handler
runs, must fit into one history."""
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class NamedQueue:
    """A queue as the enqueuer sees it.

    Attributes:
        rules: What every message takes along; a later change of the queue does not touch it.
        group_field: The top-level payload key that names the FIFO group; `None` on a standard queue.
    """

    rules: RetryRules
    group_field: str | None = None


@dataclass(frozen=True, slots=True)
class EnqueueSettings:
    """How messages are sent.

    Attributes:
        timeout_ms: How long Temporal may take to accept one.
        payload_limit_bytes: The largest payload it accepts.
        steps_per_handler: Messages one attempt may add to its own chain; the rest become chains of their own.
    """

    timeout_ms: int = 8000
    payload_limit_bytes: int = 2 * 1024 * 1024 - 160 * 1024
    steps_per_handler: int = 100


class TemporalEnqueuer:
    """Puts messages into chains and lanes.

    Args:
        connection: The way to Temporal.
        queues: The named queues, by name.
        tenancy: The names to use; read at every message.
        new_id: Makes fresh UUIDs.
        now_ms: The Unix time.
    """

    def __init__(
        self,
        connection: TemporalConnection,
        queues: Mapping[str, NamedQueue],
        *,
        tenancy: Callable[[], Tenancy],
        settings: EnqueueSettings,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._queues = queues
        self._tenancy = tenancy
        self._settings = settings
        self._rpc_timeout = timedelta(milliseconds=settings.timeout_ms)
        self._new_id = new_id
        self._now_ms = now_ms

    async def enqueue(self, call: Call, queue: str) -> str:
        """Accept a message and return its receipt.

        A retried attempt that enqueues what an earlier attempt of the same step has enqueued gets the same
        receipt, and nothing is sent twice.

        Raises:
            EnqueueError: The queue is unknown, the payload does not fit, or Temporal did not answer in time.

        Cancellation: the message may or may not have been accepted.
        """
        message = self._message(call, queue)
        if call.job is not None and message.receipt in call.job.children:
            return message.receipt
        client = self._connection.client
        payload = _raw(bytes(call.data))
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                await self._send(client, call.job, message, payload)
        except TimeoutError as exc:
            raise EnqueueError(self._no_answer()) from exc
        except RPCError as exc:
            raise EnqueueError(self._why_not(exc)) from exc
        log.debug("enqueued", receipt=message.receipt, queue=queue, function_id=message.function_id)
        return message.receipt

    async def join_lane(self, ticket: Ticket) -> None:
        """Make sure that a chain's step stands in its lane's line, without a trace where it does."""
        lane = lane_id(self._tenancy(), ticket.queue, ticket.group)
        if not await self.lane_holds(lane, ticket.receipt):
            await self._join_lane(self._connection.client, ticket)

    async def lane_holds(self, lane_workflow_id: str, receipt: str) -> bool:
        """Tell whether a message stands in a lane's line."""
        lane = self._connection.client.get_workflow_handle(lane_workflow_id)
        try:
            holds: bool = await lane.query(
                Query.HOLDS,
                receipt,
                result_type=bool,
                reject_condition=QueryRejectCondition.NOT_OPEN,
                rpc_timeout=self._rpc_timeout,
            )
        except WorkflowQueryRejectedError:
            return False
        except RPCError as exc:
            if exc.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return holds

    async def move_to_chain(self, parcel: Parcel, payload: bytes) -> None:
        """Have a message go on in the chain that is its home."""
        start = ChainStart(self._tenancy())
        await self._signal_chain(self._connection.client, start, parcel, _raw(payload))

    async def redrive(self, parcel: Parcel, payload: bytes) -> None:
        """Send a dead message on its way again, in the chain that is its home."""
        await self.move_to_chain(parcel, payload)
        if (ticket := self._ticket(parcel.message)) is not None:
            await self._join_lane(self._connection.client, ticket)

    def _message(self, call: Call, queue: str) -> Message:
        named = self._queues.get(queue)
        if named is None:
            raise EnqueueError(
                f"Queue '{queue}' not found. Configured queues: {', '.join(sorted(self._queues))}. "
                "Add it under queue_configs in the configuration."
            )
        if call.function_id in set(WorkflowType):
            raise EnqueueError(f"The function id '{call.function_id}' is taken by the bridge; rename it.")
        size_bytes = len(call.data) + len(call.metadata) + len(call.baggage or "")
        if size_bytes > self._settings.payload_limit_bytes:
            raise EnqueueError(
                f"The payload has {size_bytes} bytes, metadata and baggage included; Temporal takes at most "
                f"{self._settings.payload_limit_bytes}. Put large data in your own storage and "
                "enqueue a reference to it."
            )
        receipt = self._receipt(call, queue)
        job = call.job
        return Message(
            receipt=receipt,
            chain_id=job.chain_id if job else receipt,
            home=job.home if job else receipt,
            function_id=call.function_id,
            queue=queue,
            rules=named.rules,
            namespace=call.namespace,
            group=_group(call, queue, named.group_field) if named.group_field else None,
            parent=job.receipt if job else None,
            metadata=bytes(call.metadata).decode() if is_present(call.metadata) else None,
            traceparent=call.traceparent or new_traceparent(receipt),
            baggage=call.baggage,
            enqueued_at_ms=self._now_ms(),
        )

    def _receipt(self, call: Call, queue: str) -> str:
        """Make a receipt: inside an attempt, one that the next attempt will make again."""
        job = call.job
        if job is None or job.receipt is None:
            return self._new_id()
        what = f"{call.function_id}\0{queue}\0{call.namespace}\0".encode()
        digest = hashlib.sha256(what + bytes(call.data)).digest()
        occurrence = job.enqueued.get(digest, 0)
        job.enqueued[digest] = occurrence + 1
        return str(uuid.uuid5(uuid.UUID(job.receipt), f"{digest.hex()}/{occurrence}"))

    async def _send(self, client: Client, job: Job | None, message: Message, payload: RawValue) -> None:
        if job is None:
            await self._send_first(client, message, payload)
        elif self._fits(job, payload):
            await self._send_step(client, job, message, payload)
        else:
            await self._send_apart(client, message, payload)

    def _fits(self, job: Job, payload: RawValue) -> bool:
        """Tell whether a message may become a step of its enqueuer's chain, whose history has a limit."""
        enqueued = sum(job.enqueued.values())
        size_bytes = len(payload.payload.data)
        return enqueued <= self._settings.steps_per_handler and (
            enqueued <= 1 or size_bytes <= _STEP_PAYLOAD_BYTES
        )

    async def _send_first(self, client: Client, message: Message, payload: RawValue) -> None:
        """Send what was enqueued outside any job: a small FIFO message needs no chain of its own."""
        size_bytes = len(payload.payload.data) + len(message.metadata or "") + len(message.baggage or "")
        if message.group is not None and size_bytes <= _LANE_MESSAGE_BYTES:
            await self._signal_lane(
                client, message.queue, message.group, Signal.JOIN_MESSAGE, [message, payload]
            )
        else:
            await self._start_chain(client, message, payload)

    async def _send_apart(self, client: Client, message: Message, payload: RawValue) -> None:
        """Begin a chain of the message's own, under the same IiiChain; a second time changes nothing."""
        await self._start_chain(client, replace(message, home=message.receipt), payload)

    async def _send_step(self, client: Client, job: Job, message: Message, payload: RawValue) -> None:
        """Add a step to the chain of its enqueuer; the chain learns of it before a lane does."""
        chain, parcel = self._chain_workflow_id(message), Parcel(message)
        try:
            if job.workflow_id == chain:
                await client.get_workflow_handle(chain).signal(
                    Signal.ENQUEUE, args=[parcel, payload], rpc_timeout=self._rpc_timeout
                )
            else:
                await client.get_workflow_handle(job.workflow_id).signal(
                    Signal.CHILD_ENQUEUED,
                    ChildEnqueued(message.home, message.receipt),
                    rpc_timeout=self._rpc_timeout,
                )
                start = ChainStart(self._tenancy(), lane_step=message.home, lane_id=job.workflow_id)
                await self._signal_chain(client, start, parcel, payload)
        except RPCError as exc:
            if exc.status is not RPCStatusCode.NOT_FOUND:
                raise
            # The job has ended since, and its workflow with it.
            await self._send_apart(client, message, payload)
        else:
            await self._stand_in_line(client, message)

    async def _start_chain(self, client: Client, message: Message, payload: RawValue) -> None:
        """Begin a chain with a message. The id is the receipt, so a second start of it changes nothing."""
        tenancy = self._tenancy()
        start = ChainStart(tenancy, parcels=(Parcel(message),))
        try:
            await client.start_workflow(
                message.function_id,
                args=[start, payload],
                id=chain_id(tenancy, message.receipt),
                task_queue=task_queue(tenancy),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=_search_attributes(tenancy, message),
                static_summary=f"queue {message.queue}"[:_SUMMARY_LENGTH],
                rpc_timeout=self._rpc_timeout,
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            log.debug("already enqueued", receipt=message.receipt)
        await self._stand_in_line(client, message)

    async def _signal_chain(
        self, client: Client, start: ChainStart, parcel: Parcel, payload: RawValue
    ) -> None:
        """Give a message to its chain, which begins if it does not run."""
        message = parcel.message
        await client.start_workflow(
            message.function_id,
            args=[start],
            id=self._chain_workflow_id(message),
            task_queue=task_queue(start.tenancy),
            start_signal=Signal.ENQUEUE,
            start_signal_args=[parcel, payload],
            search_attributes=_search_attributes(start.tenancy, message),
            static_summary=f"queue {message.queue}"[:_SUMMARY_LENGTH],
            rpc_timeout=self._rpc_timeout,
        )

    async def _stand_in_line(self, client: Client, message: Message) -> None:
        """Have a step that its chain knows stand in its lane's line, if it has a group."""
        ticket = self._ticket(message)
        if ticket is None:
            return
        try:
            await self._join_lane(client, ticket)
        except RPCError as exc:
            # The chain has the message, so the receipt stands; it will ask the lane itself.
            log.warning("lane not joined yet; the chain will", receipt=message.receipt, reason=str(exc))

    async def _join_lane(self, client: Client, ticket: Ticket) -> None:
        await self._signal_lane(client, ticket.queue, ticket.group, Signal.JOIN_TURN, [ticket])

    async def _signal_lane(
        self, client: Client, queue: str, group: str, signal: Signal, arguments: list[Any]
    ) -> None:
        tenancy = self._tenancy()
        await client.start_workflow(
            WorkflowType.FIFO_LANE,
            LaneStart(tenancy, queue, group),
            id=lane_id(tenancy, queue, group),
            task_queue=task_queue(tenancy),
            start_signal=signal,
            start_signal_args=arguments,
            search_attributes=_lane_attributes(tenancy, queue, group),
            static_summary=f"queue {queue}, group {group}"[:_SUMMARY_LENGTH],
            rpc_timeout=self._rpc_timeout,
        )

    def _ticket(self, message: Message) -> Ticket | None:
        if message.group is None:
            return None
        return Ticket(message.receipt, message.queue, message.group, self._chain_workflow_id(message))

    def _chain_workflow_id(self, message: Message) -> str:
        return chain_id(self._tenancy(), message.home)

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
            f"Temporal at {self._connection.address.target} did not answer within "
            f"{self._settings.timeout_ms} ms, so no receipt can be given. Try again when it is back; "
            "enqueue works then without a restart."
        )


def _group(call: Call, queue: str, field: str) -> str:
    """Read the FIFO group from the payload (spec 02 §2.3)."""
    if not is_object(call.data):
        raise EnqueueError(
            f"FIFO queue '{queue}' needs an object with the field '{field}'; the payload is not one."
        )
    value = _fields.decode(call.data).get(field)
    if value is None:
        raise EnqueueError(f"FIFO queue '{queue}' needs the field '{field}' in the payload; it is missing.")
    if not is_present(value):
        raise EnqueueError(f"FIFO queue '{queue}' needs the field '{field}'; it must not be null.")
    decoded = msgspec.json.decode(value)
    text = decoded if isinstance(decoded, str) else msgspec.json.encode(decoded, order="sorted").decode()
    return shorten(text, _LONGEST_GROUP)


def _raw(data: bytes) -> RawValue:
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))


def _search_attributes(tenancy: Tenancy, message: Message) -> TypedSearchAttributes:
    if not tenancy.has_search_attributes:
        return TypedSearchAttributes.empty
    return _keywords(
        {
            SearchAttribute.QUEUE: message.queue,
            SearchAttribute.FUNCTION: message.function_id,
            SearchAttribute.CHAIN: message.chain_id,
        }
    )


def _lane_attributes(tenancy: Tenancy, queue: str, group: str) -> TypedSearchAttributes:
    if not tenancy.has_search_attributes:
        return TypedSearchAttributes.empty
    return _keywords({SearchAttribute.QUEUE: queue, SearchAttribute.GROUP: group})


def _keywords(values: dict[SearchAttribute, str]) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(key), search_text(value))
            for key, value in values.items()
        ]
    )
