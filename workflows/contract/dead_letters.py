"""Messages that were given up, and what is done with many of them."""

from dataclasses import dataclass

from workflows.contract.messages import Attempt, Message
from workflows.contract.tenancy import Tenancy
from workflows.contract.vocabulary import Update

__all__ = ["AlarmStart", "BulkReport", "BulkStart", "DeadLetter", "LetterFilter"]


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
