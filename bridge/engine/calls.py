"""A call on its way: what is asked, for whom, and how it ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import BridgeError, FunctionFailedError
from bridge.protocol.inbound import ErrorBody
from bridge.protocol.payload import absent

if TYPE_CHECKING:
    from bridge.engine.workers import Worker

__all__ = ["DEFAULT_NAMESPACE", "Call", "Invocation", "Job", "OnDone", "Outcome", "error_body"]

DEFAULT_NAMESPACE = "default"


@dataclass(slots=True, eq=False)
class Job:
    """One durable delivery: the step of a chain that a handler is executing now.

    Every call that the handler makes belongs to it, also one that comes when the attempt has ended.

    Attributes:
        chain_id: The receipt of the message that everything began with.
        home: The receipt in the id of the chain workflow that keeps the step.
        workflow_id: The workflow that runs the step: the chain, or a lane for a message of its own.
        receipt: The receipt of the step; `None` when the call belongs to the chain and the step is unknown.
        delivery_id: Names the attempt.
        children: Receipts that attempts before a redrive enqueued.
        restarts: How often the whole chain began again after it was compensated.
        is_undoing: Whether the step is a compensation.
        is_unwatched: Whether what it leads to tells of no events, because it comes of one.
        keeper: Who keeps the chain: names one of the Temporal namespaces that the bridge uses.
        context: What the handler is told of the delivery.
        enqueued: How often the attempt has enqueued each equal message: what makes a retried attempt's
            receipts equal to those of the attempt before it.
        started: How often it has started each equal workflow, for the same reason.
        is_doubtful: Whether the attempt may have been given up: another one may ask for the same.
        enqueued_before: How much it is known to have enqueued through bridges that have been killed since.
    """

    chain_id: str
    home: str
    workflow_id: str
    receipt: str | None = None
    delivery_id: str | None = None
    children: frozenset[str] = frozenset()
    restarts: int = 0
    is_undoing: bool = False
    is_unwatched: bool = False
    keeper: str = ""
    context: Mapping[str, object] = field(default_factory=dict)
    enqueued: dict[bytes, int] = field(default_factory=dict)
    started: dict[bytes, int] = field(default_factory=dict)
    is_doubtful: bool = False
    enqueued_before: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A function to run and its payload.

    Attributes:
        function_id: The function asked for.
        data: The payload, as raw JSON.
        namespace: Where the function is looked up.
        metadata: The sidecar that reaches the handler beside the payload (spec 01 §4.5).
        traceparent: W3C trace context of the caller.
        baggage: W3C baggage of the caller.
        job: The durable delivery this call belongs to, if it was made while executing one.
        caller: The worker that asked; `None` for the bridge itself.
    """

    function_id: str
    data: msgspec.Raw
    namespace: str = DEFAULT_NAMESPACE
    metadata: msgspec.Raw = field(default_factory=absent)
    traceparent: str | None = None
    baggage: str | None = None
    job: Job | None = None
    caller: "Worker | None" = None

    @property
    def payload_bytes(self) -> int:
        """The size of what the function is given, the sidecar included."""
        return len(self.data) + len(self.metadata)

    @property
    def is_delivery(self) -> bool:
        """Tell whether it is an attempt of a message, made by the bridge itself."""
        return self.job is not None and self.caller is None


def error_body(exc: BridgeError) -> ErrorBody:
    """Return the wire form of an error of the bridge."""
    if isinstance(exc, FunctionFailedError):
        return ErrorBody(exc.failure_code, exc.message, exc.stacktrace)
    return ErrorBody(exc.code, str(exc))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: with a result (perhaps an absent one) or with an error."""

    result: msgspec.Raw = field(default_factory=absent)
    error: ErrorBody | None = None

    @classmethod
    def failed(cls, exc: BridgeError) -> "Outcome":
        """Translate an error of the bridge into its wire form."""
        return cls(error=error_body(exc))

    def unwrap(self) -> msgspec.Raw:
        """Return the result.

        Raises:
            FunctionFailedError: The call ended with an error.
        """
        if self.error is not None:
            raise FunctionFailedError(self.error.code, self.error.message, self.error.stacktrace)
        return self.result


OnDone = Callable[[Outcome], None]


@dataclass(slots=True, eq=False)
class Invocation:
    """A call that a worker is executing now.

    Attributes:
        id: The id on the wire between the bridge and the executing worker.
        function_id: The function, as the worker knows it.
        traceparent: The trace context that the worker was given.
        job: The durable delivery the call belongs to.
        on_done: Called once, with the outcome.
    """

    id: str
    function_id: str
    traceparent: str
    job: Job | None
    on_done: OnDone
