"""The lines of FIFO groups."""

from dataclasses import dataclass, field

from workflows.contract.messages import Message
from workflows.contract.tenancy import Tenancy

__all__ = ["AnnexPage", "AnnexStart", "ChildEnqueued", "LaneStart", "LaneStepEnded", "Place", "Ticket"]


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
        delivery_id: The attempt that completed it.
    """

    message: Message
    payload: str
    compensation: Message | None = None
    undo_payload: str | None = None
    delivery_id: str | None = None


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
