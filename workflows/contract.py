"""What bridges, workflows and activities exchange. Append-only: new fields have defaults, none is renamed.

A message is a small header; its payload travels beside it as a raw JSON value that nobody here decodes.
"""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "DELIVERY_POSTPONED",
    "Activity",
    "Attempt",
    "ChainStart",
    "ChildEnqueued",
    "CronFire",
    "CronResult",
    "CronTick",
    "DeadLetter",
    "Delivery",
    "FailureDetails",
    "LaneStart",
    "LaneStepEnd",
    "Message",
    "RetryRules",
    "SearchAttribute",
    "Signal",
    "Tenancy",
    "Ticket",
    "Update",
    "WorkflowType",
]

DELIVERY_POSTPONED = "iii.delivery_postponed"
"""Error type of an attempt that did not count: nobody offers the function, or the bridge is stopping."""


class WorkflowType(StrEnum):
    """Types of our own workflows. A chain has the id of its first function as its type."""

    FIFO_LANE = "iii.fifo_lane"
    DEAD_LETTER = "iii.dead_letter"
    CRON_FIRE = "iii.cron_fire"


class Activity(StrEnum):
    """Types of our own activities. A delivery has the function id as its type."""

    JOIN_LANE = "iii.join_lane"
    IS_OPEN = "iii.is_open"
    REDRIVE = "iii.redrive"
    FIRE_CRON = "iii.fire_cron"


class Signal(StrEnum):
    """Signals between bridges, chains and lanes."""

    ENQUEUE = "iii.enqueue"
    JOIN_MESSAGE = "iii.join_message"
    JOIN_TURN = "iii.join_turn"
    TURN = "iii.turn"
    TURN_ENDED = "iii.turn_ended"
    PROVIDER_OFFERED = "iii.provider_offered"
    CHILD_ENQUEUED = "iii.child_enqueued"
    LANE_STEP_ENDED = "iii.lane_step_ended"


class Update(StrEnum):
    """Updates of a dead letter."""

    REDRIVE = "iii.redrive"
    DISCARD = "iii.discard"


class SearchAttribute(StrEnum):
    """Search attributes, all of type Keyword."""

    QUEUE = "IiiQueue"
    FUNCTION = "IiiFunction"
    CHAIN = "IiiChain"
    GROUP = "IiiGroup"
    WAITING = "IiiWaiting"


@dataclass(frozen=True)
class Tenancy:
    """What separates bridges that share a Temporal namespace.

    Attributes:
        prefix: Begins every workflow id and task queue.
        has_search_attributes: Whether the namespace knows our search attributes.
    """

    prefix: str = "iii"
    has_search_attributes: bool = True


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
    """

    message: Message
    attempts_before: int = 0
    earlier: tuple[Attempt, ...] = ()


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
class ChainStart:
    """The first argument of a chain; the payloads of `messages` follow in their order.

    Attributes:
        messages: The steps to begin with; empty when the first arrives as a signal.
        known: Receipts that were accepted before this run, with their redrive counts.
        lane_step: The receipt of the step that a lane runs, when its handler began this chain.
        lane_id: The workflow id of that lane.
        lost: Texts of steps that this chain lost before it continued as new.
        completed: Steps that it completed before.
    """

    tenancy: Tenancy
    messages: tuple[Message, ...] = ()
    known: dict[str, int] = field(default_factory=dict)
    lane_step: str | None = None
    lane_id: str | None = None
    lost: tuple[str, ...] = ()
    completed: int = 0


@dataclass(frozen=True)
class LaneStepEnd:
    """What a lane tells the chain that one of its handlers began.

    Attributes:
        lost: Why the step was dead-lettered; `None` when it completed.
    """

    receipt: str
    lost: str | None = None


@dataclass(frozen=True)
class Ticket:
    """A place in a lane: a message the lane runs itself, or a turn for a step that its chain runs."""

    message: Message
    chain_workflow_id: str | None = None


@dataclass(frozen=True)
class LaneStart:
    """The argument of a lane.

    Attributes:
        tickets: Who stood in the line when the lane continued as new.
        payloads: The payloads of the messages among them, as JSON text by receipt.
    """

    tenancy: Tenancy
    queue: str
    group: str
    tickets: tuple[Ticket, ...] = ()
    payloads: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ChildEnqueued:
    """What a bridge tells a lane whose message's handler enqueued a step: the lane's chain has it."""

    parent: str
    child: str


@dataclass(frozen=True)
class DeadLetter:
    """A message out of attempts. Its payload is the workflow's second argument.

    Attributes:
        children: Receipts that its attempts enqueued.
        workflow_id: The chain or lane that ran it.
    """

    tenancy: Tenancy
    message: Message
    code: str
    error: str
    failed_at_ms: int
    attempts_made: int
    workflow_id: str
    run_id: str
    stacktrace: str | None = None
    attempts: tuple[Attempt, ...] = ()
    children: tuple[str, ...] = ()


class CronResult(StrEnum):
    """How a cron fire ended, unless its function failed.

    `NOBODY` is an answer of one bridge: no trigger of the schedule is bound to it now.
    """

    RAN = "ran"
    SKIPPED = "skipped"
    NOBODY = "nobody"


@dataclass(frozen=True)
class CronFire:
    """The argument of a cron fire: which schedule it belongs to.

    Attributes:
        key: Names the schedule among those of the bridges.
        expression: The expression, shown in the Web UI, as are the condition and the time zone.
        catchup_window_ms: How long after its start a fire may still begin to run the function.
    """

    key: str
    function_id: str
    expression: str
    timezone: str = "UTC"
    namespace: str = "default"
    condition_function_id: str | None = None
    catchup_window_ms: int = 60_000
    heartbeat_timeout_ms: int = 10_000


@dataclass(frozen=True)
class CronTick:
    """One fire of a cron trigger.

    Attributes:
        scheduled_at_ms: When it was due.
        started_at_ms: When Temporal started it: later, if the fire before it took long.
    """

    fire: CronFire
    scheduled_at_ms: int
    started_at_ms: int
