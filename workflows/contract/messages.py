"""A message and its deliveries."""

from dataclasses import dataclass

__all__ = [
    "MOST_BYTES_IN_TEMPORAL",
    "Attempt",
    "AttemptFailed",
    "Delivery",
    "FailureDetails",
    "LostDelivery",
    "Message",
    "Parcel",
    "Progress",
    "RetryRules",
]

MOST_BYTES_IN_TEMPORAL = 2 * 1024 * 1024 - 160 * 1024
"""The largest payload that Temporal itself keeps, and what travels along with it."""
_MOST_DOUBLINGS = 64
"""More would be over any limit, and a large shift only costs memory."""


@dataclass(frozen=True)
class RetryRules:
    """How often and how fast a message is tried, fixed when it is enqueued.

    Attributes:
        attempts: Deliveries before the message is dead-lettered; at least 1.
        backoff_type: `exponential`, `linear` or `fixed`.
        timeout_ms: The longest one attempt may take.
        heartbeat_timeout_ms: After how long a silent bridge counts as lost.
        non_retryable_errors: Error codes that dead-letter at once.
        provider_timeout_ms: How long to wait for somebody to offer the function; `None` waits for ever.
    """

    attempts: int = 3
    backoff_ms: int = 1000
    max_backoff_ms: int = 3_600_000
    backoff_type: str = "exponential"
    timeout_ms: int = 1_800_000
    heartbeat_timeout_ms: int = 10_000
    non_retryable_errors: tuple[str, ...] = ()
    provider_timeout_ms: int | None = None

    def backoff_after_ms(self, failure: int) -> int:
        """Tell how long to wait after a failure, counted from 1 (spec 02 §4.1)."""
        delay_ms = self.backoff_ms
        if self.backoff_type == "exponential":
            delay_ms <<= min(failure - 1, _MOST_DOUBLINGS)
        elif self.backoff_type == "linear":
            delay_ms *= failure
        return min(delay_ms, self.max_backoff_ms)


@dataclass(frozen=True)
class Message:
    """One enqueued job, without its payload.

    Attributes:
        receipt: The UUID that the enqueuer got; also the idempotency key.
        chain_id: The receipt of the message that everything began with; what the Web UI is searched by.
        home: The receipt in the id of the chain workflow that keeps this message and what it leads to. It
            differs from `chain_id` where a chain overflowed into chains of its own.
        group: The FIFO group; `None` on a standard queue.
        parent: The receipt of the step whose handler enqueued this one, if that is known.
        metadata: The enqueuer's own metadata sidecar as JSON text.
        redrives: How often it came back from the dead letters.
        children: Receipts that attempts before the redrive enqueued: they are not enqueued again.
        not_before_ms: The Unix time before which the first delivery may not begin.
        priority_key: Temporal's own: 1 is the most urgent, 5 the least; `None` where the queue has none.
        holds_group: Whether its group waits for the dead letter's end if it is lost.
        restarts: How often the whole chain began again after it was compensated.
        compensates: The receipt of the step that this message undoes.
        condition_function_id: Asked before every delivery; a message to which it answers `false` is skipped.
        is_unwatched: Whether the chain it leads to tells of no events, because it comes of an event.
    """

    receipt: str
    chain_id: str
    home: str
    function_id: str
    queue: str
    rules: RetryRules
    namespace: str = "default"
    group: str | None = None
    parent: str | None = None
    metadata: str | None = None
    traceparent: str | None = None
    baggage: str | None = None
    enqueued_at_ms: int = 0
    redrives: int = 0
    children: tuple[str, ...] = ()
    not_before_ms: int = 0
    priority_key: int | None = None
    holds_group: bool = False
    restarts: int = 0
    compensates: str | None = None
    condition_function_id: str | None = None
    is_unwatched: bool = False


@dataclass(frozen=True)
class Attempt:
    """One delivery that failed."""

    number: int
    failed_at_ms: int
    code: str
    error: str


@dataclass(frozen=True)
class Delivery:
    """The first argument of a delivery activity; the payload is the second.

    Attributes:
        attempts_before: Attempts that earlier activities of the same step have used up.
        is_watched: Whether the chain wants to hear of every failed attempt.
    """

    message: Message
    attempts_before: int = 0
    earlier: tuple[Attempt, ...] = ()
    is_watched: bool = False


@dataclass(frozen=True)
class AttemptFailed:
    """What a bridge tells a chain that is watched: one attempt of a step has failed.

    Attributes:
        is_retried: Whether another one follows.
    """

    receipt: str
    attempt: int
    code: str
    error: str
    is_retried: bool


@dataclass(frozen=True)
class FailureDetails:
    """The details of a delivery's error.

    Attributes:
        attempts_made: Deliveries that counted, this one included if it did.
        stacktrace: The handler's stack, if its SDK sent one.
        attempts: Every failed delivery, oldest first.
        waits_for_provider: For a postponed delivery: whether it must wait for somebody to offer the function.
    """

    attempts_made: int
    stacktrace: str | None = None
    attempts: tuple[Attempt, ...] = ()
    waits_for_provider: bool = False


@dataclass(frozen=True)
class LostDelivery:
    """Why a message is out of attempts."""

    code: str
    error: str
    stacktrace: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a message's delivery has come: what goes along when another run or workflow takes it over.

    Attributes:
        attempts_made: Deliveries that counted.
        attempts: The failed ones, oldest first.
        not_before_ms: The Unix time before which the next attempt may not begin.
        waiting_since_ms: Since when nobody has offered the function; `None` when somebody did.
        lost: Set once the attempts are used up.
    """

    attempts_made: int = 0
    attempts: tuple[Attempt, ...] = ()
    not_before_ms: int = 0
    waiting_since_ms: int | None = None
    lost: LostDelivery | None = None


@dataclass(frozen=True)
class Parcel:
    """A message that changes hands, with how far it has come. Its payload travels beside it."""

    message: Message
    progress: Progress = Progress()
