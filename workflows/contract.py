"""What bridges, workflows and activities exchange. Append-only: new fields have defaults, none is renamed.

A message is a small header; its payload travels beside it as a raw JSON value that nobody here decodes.
"""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "DELIVERY_POSTPONED",
    "Activity",
    "AlarmStart",
    "AnnexPage",
    "AnnexStart",
    "Attempt",
    "AttemptFailed",
    "BulkReport",
    "BulkStart",
    "ChainEvent",
    "ChainStart",
    "ChainState",
    "ChildEnqueued",
    "CronFire",
    "CronResult",
    "CronTick",
    "DeadLetter",
    "DedupeStart",
    "Delivery",
    "Departure",
    "FailureDetails",
    "Hold",
    "LaneStart",
    "LaneStepEnded",
    "Lease",
    "LetterFilter",
    "LostDelivery",
    "Memo",
    "Message",
    "Pace",
    "Parcel",
    "Place",
    "Progress",
    "Query",
    "RetryRules",
    "SearchAttribute",
    "Signal",
    "StepRecord",
    "StepStatus",
    "SubscribeRequest",
    "Subscriber",
    "Subscription",
    "Tenancy",
    "Ticket",
    "TopicEntry",
    "TopicStart",
    "Update",
    "WatchedEnd",
    "WorkflowType",
]

DELIVERY_POSTPONED = "iii.delivery_postponed"
"""Error type of an attempt that did not count: nobody offers the function, or the bridge is stopping."""

_MOST_DOUBLINGS = 64
"""More would be over any limit, and a large shift only costs memory."""


class WorkflowType(StrEnum):
    """Types of our own workflows. A chain has the id of its first function as its type."""

    FIFO_LANE = "iii.fifo_lane"
    DEAD_LETTER = "iii.dead_letter"
    CRON_FIRE = "iii.cron_fire"
    BULK = "iii.bulk"
    DEDUPE = "iii.dedupe"
    ALARM = "iii.dead_letter_alarm"
    TOPIC = "iii.topic"
    FIFO_ANNEX = "iii.fifo_annex"


class Activity(StrEnum):
    """Types of our own activities. A delivery has the function id as its type."""

    JOIN_LANE = "iii.join_lane"
    LANE_HOLDS = "iii.lane_holds"
    MOVE_TO_CHAIN = "iii.move_to_chain"
    REDRIVE = "iii.redrive"
    FIRE_CRON = "iii.fire_cron"
    DEAD_LETTER_IS_OPEN = "iii.dead_letter_is_open"
    SETTLE_DEAD_LETTERS = "iii.settle_dead_letters"
    SEND_APART = "iii.send_apart"
    ALERT = "iii.alert"
    WATCH = "iii.watch"
    PUBLISH_CHAIN_EVENTS = "iii.publish_chain_events"
    LEAVE_IN_ANNEX = "iii.leave_in_annex"
    READ_ANNEX = "iii.read_annex"
    ANNOUNCE_ANNEX = "iii.announce_annex"


class Memo(StrEnum):
    """What the memo of a topic tells publishers, without asking a workflow."""

    TOPIC = "topic"
    SUBSCRIBERS = "subscribers"


class Signal(StrEnum):
    """Signals between bridges, chains, lanes and topics."""

    ENQUEUE = "iii.enqueue"
    JOIN_MESSAGE = "iii.join_message"
    JOIN_TURN = "iii.join_turn"
    TURN = "iii.turn"
    TURN_ENDED = "iii.turn_ended"
    PROVIDER_OFFERED = "iii.provider_offered"
    CHILD_ENQUEUED = "iii.child_enqueued"
    LANE_STEP_ENDED = "iii.lane_step_ended"
    FELL_BELOW_THRESHOLD = "iii.fell_below_threshold"
    TURN_LOST = "iii.turn_lost"
    HOLD_ENDED = "iii.hold_ended"
    SENT = "iii.sent"
    COMPENSATE = "iii.compensate"
    HOLD = "iii.hold"
    EVENT = "iii.event"
    WATCH = "iii.watch"
    WATCHED_ENDED = "iii.watched_ended"
    RESTART_INSTEAD = "iii.restart_instead"
    SUPERSEDED = "iii.superseded"
    ATTEMPT_FAILED = "iii.attempt_failed"
    RELEASE = "iii.release"
    LEAVE = "iii.leave"
    ANNEX_LEFT = "iii.annex_left"


class Update(StrEnum):
    """Updates of a dead letter, a topic, and an annex."""

    REDRIVE = "iii.redrive"
    DISCARD = "iii.discard"
    SUBSCRIBE = "iii.subscribe"
    UNSUBSCRIBE = "iii.unsubscribe"
    CLOSE_ANNEX = "iii.close_annex"


class Query(StrEnum):
    """Queries of a lane, a chain, and an annex."""

    HOLDS = "iii.holds"
    CHAIN = "iii.chain"
    ANNEXES = "iii.annexes"
    READ_ANNEX = "iii.read_annex"


class SearchAttribute(StrEnum):
    """Search attributes: `WAITING` of type KeywordList, the others Keyword."""

    QUEUE = "IiiQueue"
    FUNCTION = "IiiFunction"
    CHAIN = "IiiChain"
    GROUP = "IiiGroup"
    WAITING = "IiiWaiting"


@dataclass(frozen=True)
class Pace:
    """How patient our workflows are.

    Attributes:
        provider_check_ms: First wait for somebody to offer a function; each next is as long as all before.
        turn_check_ms: After how long a step that has no turn asks the lane whether it stands in the line.
        lane_check_ms: After how long a lane asks after the step whose turn it is, and a chain after its lane.
        longest_check_ms: To which these waits grow.
        events_per_run: The length at which a history continues as new; 0 leaves it to the server.
        busy_events: The length of a history from which on Temporal may have refused it a signal.
        places_per_run: How much of its line a lane takes along into a fresh history.
    """

    provider_check_ms: int = 1000
    turn_check_ms: int = 5000
    lane_check_ms: int = 30_000
    longest_check_ms: int = 300_000
    events_per_run: int = 0
    busy_events: int = 5000
    places_per_run: int = 200


@dataclass(frozen=True)
class Tenancy:
    """What separates bridges that share a Temporal namespace.

    Attributes:
        prefix: Begins every workflow id and task queue.
        has_search_attributes: Whether the namespace knows our search attributes.
    """

    prefix: str = "iii"
    has_search_attributes: bool = True
    pace: Pace = Pace()


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
class ChainEvent:
    """One event of a chain that is watched.

    Attributes:
        event: A `ChainEventType`.
        sequence: Counts the events of the chain from 1.
        at_ms: Unix time.
        chain_id: The receipt of the message that everything began with.
        home: The receipt in the chain's workflow id.
        first_function_id: The function that the chain began with.
        message: The step to which it happened; `None` for the whole chain.
        attempt: Which delivery of the step.
        result: What its function answered, as JSON text, if that is small.
        code: The code of an error.
    """

    event: str
    sequence: int
    at_ms: int
    workflow_id: str
    run_id: str
    chain_id: str
    home: str
    first_function_id: str
    message: Message | None = None
    attempt: int | None = None
    result: str | None = None
    code: str | None = None
    error: str | None = None


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


class StepStatus(StrEnum):
    """How far a step of a chain has come. `DROPPED`: its chain was compensated or cancelled before it ran."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    LOST = "lost"
    DROPPED = "dropped"


@dataclass(frozen=True)
class StepRecord:
    """What a chain shows of one of its steps.

    Attributes:
        detail: What it waits for, or why it was lost.
        parent: The receipt of the step that enqueued it.
        compensates: The receipt of the step that it undoes.
        began_at_ms: Unix time of its first delivery, as are the other times; 0 before.
        run_id: The run in which it ended, and whose history has its result.
    """

    receipt: str
    function_id: str
    queue: str
    status: StepStatus
    detail: str = ""
    parent: str | None = None
    compensates: str | None = None
    enqueued_at_ms: int = 0
    began_at_ms: int = 0
    ended_at_ms: int = 0
    run_id: str | None = None


@dataclass(frozen=True)
class Hold:
    """What waits in a chain before it becomes a step: for an event, or for other messages to end.

    Attributes:
        receipt: Names it.
        then: The step it becomes.
        otherwise: The step it becomes instead, when the time is over or a message it waits for was lost.
        event: The event's name.
        receipts: The messages.
        until_ms: The Unix time at which it stops to wait.
    """

    receipt: str
    then: Message
    otherwise: Message | None = None
    event: str | None = None
    receipts: tuple[str, ...] = ()
    until_ms: int | None = None


@dataclass(frozen=True)
class ChainState:
    """The answer of a chain that is asked how far it has come.

    Attributes:
        steps: The latest ones, oldest first.
        holds: What waits for an event or for other messages.
        owed: How many compensations are owed if a step is lost.
        is_undoing: Whether it compensates, or has.
    """

    steps: tuple[StepRecord, ...]
    holds: tuple[Hold, ...]
    owed: int
    is_undoing: bool


@dataclass(frozen=True)
class WatchedEnd:
    """How a message ended that another workflow waits for.

    Attributes:
        status: `unknown` if no workflow has the message.
        result: JSON text; `None` if there is none, or if it is too large to be passed on.
        error: Why it was lost.
    """

    receipt: str
    status: str
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class ChainStart:
    """The first argument of a chain; payloads follow in order: of `parcels`, `owed`, `holds`, `root`.

    Attributes:
        parcels: The steps to begin with; empty when the first arrives as a signal.
        turns: Receipts among them that have their lane's turn.
        lane_step: The receipt of the step that a lane runs, when its handler began this chain.
        lane_id: The workflow id of that lane.
        lost: Why steps were lost before this chain continued as new, by receipt.
        completed: Steps that it completed before.
        lane_children: Receipts that the lane's step has enqueued: they go along if the lane hands it over.
        lets_attempts_finish: Whether what runs when the chain is cancelled may finish; chains that were
            begun before there were compensations cut it off.
        owed: The compensations of what has completed, oldest first.
        holds: What waits for an event or for other messages.
        letters: The workflow ids of the dead letters of the lost steps.
        root: The first message, with which a compensated chain begins again; it is among `parcels` at first.
        records: What is shown of the steps.
        watchers: The workflows that want to hear of a step's end, by receipt.
        events: The payloads, as JSON text, of events that nobody has waited for yet, by name.
        ends: How messages ended that something here still waits for, without large results.
        is_watched: Whether somebody wants to be told of the chain's own events.
        events_told: How many of those have been told.
    """

    tenancy: Tenancy
    parcels: tuple[Parcel, ...] = ()
    turns: tuple[str, ...] = ()
    lane_step: str | None = None
    lane_id: str | None = None
    lost: dict[str, str] = field(default_factory=dict)
    completed: int = 0
    lane_children: tuple[str, ...] = ()
    lets_attempts_finish: bool = False
    owed: tuple[Message, ...] = ()
    holds: tuple[Hold, ...] = ()
    letters: tuple[str, ...] = ()
    root: Message | None = None
    records: tuple[StepRecord, ...] = ()
    watchers: dict[str, list[str]] = field(default_factory=dict)
    events: dict[str, list[str]] = field(default_factory=dict)
    ends: tuple[WatchedEnd, ...] = ()
    is_watched: bool = False
    events_told: int = 0


@dataclass(frozen=True)
class Ticket:
    """A turn that a chain's step takes in the lane of its group."""

    receipt: str
    queue: str
    group: str
    chain_workflow_id: str


@dataclass(frozen=True)
class Place:
    """One place in a lane's line: a message of its own with its payload as JSON text, or a chain's turn.

    Attributes:
        is_held: The step is a dead letter, and its group waits for what becomes of it.
    """

    receipt: str
    chain_workflow_id: str | None = None
    message: Message | None = None
    payload: str | None = None
    is_held: bool = False


@dataclass(frozen=True)
class LaneStart:
    """The argument of a lane.

    Attributes:
        line: Who stood in it when the lane continued as new.
        watchers: The workflows that want to hear of a message's end, by receipt.
        annexes: Keys of the annexes that have the rest of the line, the next one first.
        taken: Places taken over from the first of them.
    """

    tenancy: Tenancy
    queue: str
    group: str
    line: tuple[Place, ...] = ()
    watchers: dict[str, list[str]] = field(default_factory=dict)
    annexes: tuple[str, ...] = ()
    taken: int = 0


@dataclass(frozen=True)
class LaneStepEnded:
    """What a lane tells the chain that its message's handler began: how the message completed.

    Attributes:
        payload: The message's payload as JSON text, so that a compensated chain can begin again with it.
        compensation: What undoes the step.
        undo_payload: The compensation's payload as JSON text.
    """

    message: Message
    payload: str
    compensation: Message | None = None
    undo_payload: str | None = None


@dataclass(frozen=True)
class AnnexStart:
    """The argument of an annex.

    Attributes:
        key: Names it among the annexes of its group: the run that was refused a signal, or `.line` behind the
            run that could not carry its line.
    """

    tenancy: Tenancy
    queue: str
    group: str
    key: str


@dataclass(frozen=True)
class AnnexPage:
    """What a lane reads from an annex: its next places, or that there are none and will be none.

    Attributes:
        follower: The key of the annex to read after this one, if this one may have been refused signals.
    """

    places: tuple[Place, ...] = ()
    is_closed: bool = False
    follower: str | None = None


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
        workflow_id: The chain that ran it.
        is_watched: Whether somebody wants to be told of the chain's events.
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
    is_watched: bool = False


@dataclass(frozen=True)
class LetterFilter:
    """Which dead letters are meant: those that fit everything that is said.

    Attributes:
        queues: Internal queues, at least one.
        error: A part of the error's text, as lists show it.
        failed_from_ms: Unix time from which on they died.
        failed_until_ms: Unix time until which they died.
    """

    queues: tuple[str, ...]
    function_id: str | None = None
    error: str | None = None
    failed_from_ms: int | None = None
    failed_until_ms: int | None = None


@dataclass(frozen=True)
class BulkStart:
    """The argument of a bulk operation on dead letters.

    Attributes:
        decision: What becomes of each of them.
        rate_per_s: How many of them per second at most; `None` as fast as it goes.
        limit: How many of them at most, the oldest; `None` all.
        began_at_ms: When it began, as Temporal knows it; the workflow adds it. Younger letters stay.
    """

    tenancy: Tenancy
    letters: LetterFilter
    decision: Update
    rate_per_s: float | None = None
    limit: int | None = None
    heartbeat_timeout_ms: int = 10_000
    began_at_ms: int = 0


@dataclass(frozen=True)
class BulkReport:
    """How far a bulk operation has come. Once it has ended, `matched` is the sum of the other counts.

    Attributes:
        matched: Dead letters it is about.
        done: Those that it has redriven or discarded.
        skipped: Those that it left alone: somebody else had decided, an older message of their FIFO group
            failed, or the operation was cancelled.
        failed: Those that did not take the decision.
        errors: Why the first of them did not, in words.
    """

    matched: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()
    is_cancelled: bool = False


@dataclass(frozen=True)
class DedupeStart:
    """The argument of a dedupe marker; the payload of its message is the second one.

    Attributes:
        message: What the first enqueuer sent, and nobody else sends within the window.
        window_ms: How long others get its receipt.
    """

    tenancy: Tenancy
    message: Message
    window_ms: int


@dataclass(frozen=True)
class AlarmStart:
    """The argument of an alarm: a queue's dead letters have reached their threshold.

    Attributes:
        function_id: What is called because of it.
        count: How many there were when a bridge noticed.
        at_ms: When that was, Unix time.
    """

    tenancy: Tenancy
    queue: str
    function_id: str
    count: int
    capacity: int
    threshold: int
    at_ms: int


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


@dataclass(frozen=True)
class Subscription:
    """What a function that is subscribed to a durable topic wants: each copy of a message takes it along.

    Attributes:
        queue: The internal queue of its copies; names the subscription within the topic.
        group: The one FIFO group of all copies; `None` when their order is free.
        delay_ms: How long after a publish the first delivery may begin.
        condition_function_id: Asked before every delivery.
        events: Of a subscription to the events of chains: which ones.
        function_ids: Of such a subscription: of which functions; empty for all.
    """

    queue: str
    function_id: str
    rules: RetryRules
    namespace: str = "default"
    group: str | None = None
    delay_ms: int = 0
    condition_function_id: str | None = None
    events: tuple[str, ...] = ()
    function_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subscriber:
    """A subscription, as the memo of its topic shows it.

    Attributes:
        triggers: How many triggers ask for it over all bridges; 0 when its worker is away.
    """

    subscription: Subscription
    triggers: int = 0


@dataclass(frozen=True)
class SubscribeRequest:
    """A bridge's word that the function of a subscription has a trigger there.

    Attributes:
        holder: The bridge.
        triggers: How many triggers it has.
        lease_ms: For how long its word holds, unless it renews it.
        keep_ms: How long a subscription is kept while no bridge has a trigger.
        renews: Whether nothing has changed: then the settings of another bridge's newer trigger stay.
    """

    subscription: Subscription
    holder: str
    triggers: int
    lease_ms: int
    keep_ms: int
    renews: bool = False


@dataclass(frozen=True)
class Departure:
    """A bridge's word that it has no trigger of a subscription any more."""

    queue: str
    holder: str


@dataclass(frozen=True)
class Lease:
    """What a topic knows of one bridge's triggers of a subscription, and until when."""

    triggers: int
    until_ms: int


@dataclass(frozen=True)
class TopicEntry:
    """What a topic knows of one subscription.

    Attributes:
        leases: By bridge.
        absent_since_ms: Since when no bridge has a trigger.
        is_ending: Whether its trigger was unregistered, and only bridges that may be gone still hold it.
    """

    subscription: Subscription
    keep_ms: int
    leases: dict[str, Lease] = field(default_factory=dict)
    absent_since_ms: int = 0
    is_ending: bool = False


@dataclass(frozen=True)
class TopicStart:
    """The argument of a topic.

    Attributes:
        entries: What it knew when it continued as new.
    """

    tenancy: Tenancy
    topic: str
    entries: tuple[TopicEntry, ...] = ()
