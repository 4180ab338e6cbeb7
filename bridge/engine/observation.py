"""What counts, traces and logs the work of a bridge: told of everything that begins, and then how it ended.

The engine does not know who watches, and watchers change nothing.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from bridge.engine.calls import Call, OnDone, error_body
from bridge.engine.functions import Function
from bridge.engine.tracing import continue_trace
from bridge.engine.workers import Worker
from bridge.errors import BridgeError
from bridge.protocol.inbound import ErrorBody

__all__ = [
    "BROKEN_OFF",
    "POSTPONED",
    "CallStart",
    "DeadLetterLimit",
    "DeliveryStart",
    "EnqueueStart",
    "Enqueuer",
    "ObservedEnqueuer",
    "Observer",
    "OnAnswered",
    "OnEnd",
    "QueueState",
    "RequestStart",
    "all_of",
    "broken_off",
]

OnEnd = Callable[[ErrorBody | None], None]
"""Told how something ended: with an error, or well."""

OnAnswered = Callable[[int | None], None]
"""Told the status with which a request was answered; `None` if its client left before."""

BROKEN_OFF = "cancelled"
"""The error code of what ended without anybody waiting for its end."""

POSTPONED = "postponed"
"""The error code of a delivery that could not begin; it does not count as an attempt of its message."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class RequestStart:
    """A request of an HTTP client that has found its route.

    Attributes:
        function_id: Who handles it.
        route: The path of the trigger, with its parameters.
        path: The path of the request.
        parent: The trace context of the client.
        traceparent: The trace context of everything that the request leads to.
    """

    function_id: str
    method: str
    route: str
    path: str
    parent: str | None
    traceparent: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call that begins.

    Attributes:
        function: Who runs it; `None` when nobody offers the function.
        traceparent: The trace context that the function is given.
    """

    call: Call
    function: Function | None
    traceparent: str

    @property
    def worker(self) -> Worker | None:
        """The worker that runs it; `None` when the bridge does, or nobody."""
        provider = self.function.provider if self.function else None
        return provider if isinstance(provider, Worker) else None


@dataclass(frozen=True, slots=True)
class EnqueueStart:
    """A message on its way into a queue.

    Attributes:
        parent: The trace context of whoever enqueues it.
        traceparent: The trace context that the message is given.
    """

    call: Call
    queue: str
    parent: str | None
    traceparent: str


@dataclass(frozen=True, slots=True)
class DeliveryStart:
    """One attempt to run the function of a message.

    Attributes:
        chain_id: The receipt of the message that everything began with.
        workflow_id: The workflow that runs the step.
        attempt: Counts from 1.
        max_attempts: How many there are at most.
        enqueued_at_ms: Unix time.
        parent: The trace context of the message.
        traceparent: The trace context of the attempt.
    """

    function_id: str
    queue: str
    chain_id: str
    receipt: str
    workflow_id: str
    attempt: int
    max_attempts: int
    enqueued_at_ms: int
    parent: str | None
    traceparent: str


@dataclass(frozen=True, slots=True)
class QueueState:
    """What is known of a named queue over all bridges.

    Attributes:
        depth: Attempts that wait for a free slot.
        oldest_s: How long the oldest of them has waited.
        waiting: Chains and lanes begun on this queue that wait for somebody to offer a function; `None` when
            it cannot be known.
        dead_letters: Messages that were given up.
    """

    name: str
    depth: int
    oldest_s: float
    waiting: int | None
    dead_letters: int


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """When the dead letters of a queue are too many.

    Attributes:
        capacity: How many the operator is ready to have.
        threshold: From how many on they are too many.
        alert_function_id: What is called when there are so many.
    """

    capacity: int
    threshold: int
    alert_function_id: str | None = None


class Observer:
    """Watches the work of a bridge: told what begins, each method may return what is told of the end."""

    def request_started(self, start: RequestStart) -> OnAnswered | None:
        """Note a request of an HTTP client."""

    def call_started(self, start: CallStart) -> OnDone | None:
        """Note a call."""

    def enqueue_started(self, start: EnqueueStart) -> OnEnd | None:
        """Note a message that is being accepted."""

    def delivery_started(self, start: DeliveryStart) -> OnEnd | None:
        """Note an attempt."""


class Enqueuer(Protocol):
    """Where messages go that must not be lost."""

    async def enqueue(self, call: Call, queue: str, *, delay_ms: int = 0) -> str:
        """Accept a message for durable execution and return its receipt, a UUID.

        Args:
            call: What to run.
            queue: The named queue.
            delay_ms: How long the first delivery has to wait.

        Raises:
            EnqueueError: It was not accepted.
        """


class ObservedEnqueuer:
    """Gives every message a span of its own in the trace of its enqueuer, and tells observers of it.

    Args:
        enqueuer: Accepts the messages.
        observers: Who watches; read at every message.
        new_id: Makes fresh UUIDs.
    """

    def __init__(self, enqueuer: Enqueuer, observers: Iterable[Observer], new_id: Callable[[], str]) -> None:
        self._enqueuer = enqueuer
        self._observers = observers
        self._new_id = new_id

    async def enqueue(self, call: Call, queue: str, *, delay_ms: int = 0) -> str:
        """Accept a message and return its receipt.

        Raises:
            EnqueueError: It was not accepted.

        Cancellation: the message may or may not have been accepted.
        """
        return await self.observe(
            call, queue, lambda sent: self._enqueuer.enqueue(sent, queue, delay_ms=delay_ms)
        )

    async def observe(self, call: Call, queue: str, enqueue: Callable[[Call], Awaitable[str]]) -> str:
        """Have a message accepted in a way of the caller's, and return its receipt.

        Args:
            call: The message.
            queue: Where it goes.
            enqueue: Accepts the message with the trace context that it is given here.

        Raises:
            EnqueueError: It was not accepted.

        Cancellation: the message may or may not have been accepted.
        """
        traceparent = continue_trace(call.traceparent, self._new_id())
        start = EnqueueStart(call, queue, call.traceparent, traceparent)
        end = all_of(each.enqueue_started(start) for each in self._observers)
        error: ErrorBody | None = broken_off()
        try:
            receipt = await enqueue(replace(call, traceparent=traceparent))
            error = None
        except BridgeError as exc:
            error = error_body(exc)
            raise
        finally:
            end(error)
        return receipt


def all_of(listeners: Iterable[Callable[[Value], None] | None]) -> Callable[[Value], None]:
    """Return what tells every listener there is."""
    told = [each for each in listeners if each is not None]

    def tell(value: Value) -> None:
        for each in told:
            each(value)

    return tell


def broken_off() -> ErrorBody:
    """Return how something ended whose end nobody waited for."""
    return ErrorBody(BROKEN_OFF, "Nobody waited for the end")
