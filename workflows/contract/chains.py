"""What chains are begun with, hold, show and tell."""

from dataclasses import dataclass, field
from enum import StrEnum

from workflows.contract.messages import Message, Parcel
from workflows.contract.tenancy import Tenancy

__all__ = [
    "ChainEvent",
    "ChainStart",
    "ChainState",
    "Hold",
    "LateCall",
    "Standing",
    "StepRecord",
    "StepStatus",
    "WatchedEnd",
]


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
        delivery_id: The attempt that completed it.
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
    delivery_id: str | None = None


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
class LateCall:
    """What a bridge asks a chain about a call of a handler whose attempt may have been given up.

    Attributes:
        step: The receipt of the step that was attempted.
        delivery_id: The attempt.
        restarts: How often the chain had begun again when it was made.
        receipt: What the call asks for, under the receipt that every attempt of the step gives it.
    """

    step: str
    delivery_id: str
    restarts: int
    receipt: str


@dataclass(frozen=True)
class Standing:
    """The answer of a chain that is asked about a late call.

    Attributes:
        is_known: Whether the chain has, or had, what the call asks for.
        is_given_up: Whether the step will never complete in this chain: what its handler asks for is not
            wanted unless it is redriven, and then its next attempt asks again.
        has_completed: Whether it was this very attempt that completed the step: no other repeats its calls.
        children: How much the step's attempts have enqueued, as long as it has not ended.
    """

    is_known: bool
    is_given_up: bool
    has_completed: bool
    children: int = 0


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
