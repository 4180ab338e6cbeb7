"""Messages in the making: what a call becomes on a queue, and under which receipt (spec 02 §2)."""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bridge.engine.calls import Call
from bridge.engine.tracing import new_traceparent
from bridge.errors import EnqueueError
from bridge.protocol.payload import is_present
from bridge.temporal.dedupe_markers import DedupeKey
from bridge.temporal.payload_fields import DEFAULT_MAX_PRIORITY, PayloadFields
from workflows.contract import Message, RetryRules, Subscription, WorkflowType
from workflows.names import receipt_at

__all__ = ["MessageMaker", "NamedQueue", "dedupe_key"]


@dataclass(frozen=True, slots=True)
class NamedQueue:
    """A queue as its messages see it.

    Attributes:
        rules: What every message takes along; a later change of the queue does not touch it.
        group_field: The top-level payload key that names the FIFO group; `None` on a standard queue.
        priority_field: The one with the priority; `None` treats all messages alike.
        max_priority: The highest priority.
        delay_field: The one with the milliseconds before the first delivery.
        dedupe_field: The one whose value makes messages of the queue the same.
        dedupe_window_ms: For how long after the first one.
        group: The one FIFO group of all messages, whatever their payload.
        condition_function_id: Asked before every delivery.
        holds_groups: Whether a group waits while its lost message is a dead letter.
    """

    rules: RetryRules
    group_field: str | None = None
    priority_field: str | None = None
    max_priority: int = DEFAULT_MAX_PRIORITY
    delay_field: str | None = None
    dedupe_field: str | None = None
    dedupe_window_ms: int = 300_000
    group: str | None = None
    condition_function_id: str | None = None
    holds_groups: bool = False


class MessageMaker:
    """Makes messages of calls.

    Args:
        queues: The named queues, by name; they may change.
        lane_of: Tells the workflow id of a group's lane.
        payload_limit_bytes: The largest payload of a message.
        new_id: Makes fresh UUIDs.
        now_ms: The Unix time.
    """

    def __init__(
        self,
        queues: Mapping[str, NamedQueue],
        lane_of: Callable[[str, str], str],
        payload_limit_bytes: int,
        *,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._queues = queues
        self._lane_of = lane_of
        self._payload_limit_bytes = payload_limit_bytes
        self._new_id = new_id
        self._now_ms = now_ms

    def queue(self, queue: str) -> NamedQueue:
        """Return a queue by its name.

        Raises:
            EnqueueError: There is none.
        """
        named = self._queues.get(queue)
        if named is None:
            raise EnqueueError(
                f"Queue '{queue}' not found. Configured queues: {', '.join(sorted(self._queues))}. "
                "Add it under queue_configs in the configuration."
            )
        return named

    def make(
        self, call: Call, queue: str, named: NamedQueue, fields: PayloadFields, delay_ms: int = 0
    ) -> Message:
        """Return the message that a call becomes.

        Args:
            call: What to run.
            queue: The name of the queue.
            named: What it is like.
            fields: What it reads from the payload.
            delay_ms: How long the first delivery has to wait; the payload may say longer.

        Raises:
            EnqueueError: The call cannot become a message of the queue.
        """
        if call.function_id in set(WorkflowType):
            raise EnqueueError(f"The function id '{call.function_id}' is taken by the bridge; rename it.")
        size_bytes = len(call.data) + len(call.metadata) + len(call.baggage or "")
        if size_bytes > self._payload_limit_bytes:
            raise EnqueueError(
                f"The payload has {size_bytes} bytes, metadata and baggage included; at most "
                f"{self._payload_limit_bytes} can be enqueued. Set up `iii-temporal.payloads.storage` "
                "or raise its limit, or put large data in your own storage and enqueue a reference to it."
            )
        group = fields.group(named.group_field) if named.group_field else named.group
        delay_ms = max(delay_ms, fields.delay_ms(named.delay_field) if named.delay_field else 0)
        receipt = self._receipt(call, queue, group)
        job = call.job
        now_ms = self._now_ms()
        return Message(
            receipt=receipt,
            chain_id=job.chain_id if job else receipt,
            home=job.home if job else receipt,
            function_id=call.function_id,
            queue=queue,
            rules=named.rules,
            namespace=call.namespace,
            group=group,
            parent=job.receipt if job else None,
            metadata=bytes(call.metadata).decode() if is_present(call.metadata) else None,
            traceparent=call.traceparent or new_traceparent(receipt),
            baggage=call.baggage,
            enqueued_at_ms=now_ms,
            holds_group=named.holds_groups,
            not_before_ms=now_ms + delay_ms if delay_ms else 0,
            priority_key=(
                fields.priority_key(named.priority_field, named.max_priority)
                if named.priority_field
                else None
            ),
            restarts=job.restarts if job else 0,
            is_unwatched=job is not None and job.is_unwatched,
            condition_function_id=named.condition_function_id,
        )

    def event(self, subscription: Subscription, receipt: str, group: str) -> Message:
        """Return the message that tells a subscriber of an event.

        Args:
            subscription: The subscriber.
            receipt: Names the event and the subscriber.
            group: The FIFO group.
        """
        message = Message(
            receipt=receipt_at(self._lane_of(subscription.queue, group), receipt),
            chain_id=receipt,
            home=receipt,
            function_id=subscription.function_id,
            queue=subscription.queue,
            rules=subscription.rules,
            namespace=subscription.namespace,
            group=group,
            traceparent=new_traceparent(receipt),
            enqueued_at_ms=self._now_ms(),
            condition_function_id=subscription.condition_function_id,
            is_unwatched=True,
        )
        return replace(message, chain_id=message.receipt, home=message.receipt)

    def _receipt(self, call: Call, queue: str, group: str | None) -> str:
        """Make a receipt: inside an attempt, one that the next attempt will make again."""
        job = call.job
        if job is None:
            fresh = self._new_id()
            return fresh if group is None else receipt_at(self._lane_of(queue, group), fresh)
        if job.receipt is None:
            return receipt_at(job.home, self._new_id())
        what = f"{call.function_id}\0{queue}\0{call.namespace}\0".encode()
        digest = hashlib.sha256(what + bytes(call.data)).digest()
        occurrence = job.enqueued.get(digest, 0)
        job.enqueued[digest] = occurrence + 1
        derived = uuid.uuid5(uuid.UUID(job.receipt), f"{digest.hex()}/{occurrence}")
        return receipt_at(job.home, str(derived))


def dedupe_key(named: NamedQueue, fields: PayloadFields) -> DedupeKey | None:
    """Return what makes a message the same as another, on a queue that drops those."""
    if named.dedupe_field is None:
        return None
    return DedupeKey(fields.dedupe_value(named.dedupe_field), named.dedupe_window_ms)
