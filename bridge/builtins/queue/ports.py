"""What queues and topics need: dead letters, bulk operations, subscriptions, and what a name stands for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from workflows.contract import (
    BulkReport,
    DeadLetter,
    Departure,
    LetterFilter,
    Subscriber,
    SubscribeRequest,
    Update,
)

__all__ = [
    "BulkStore",
    "DeadLetterStore",
    "Letter",
    "Link",
    "Operation",
    "Resolver",
    "TopicReader",
    "TopicStore",
]

Link = Callable[[str, str, str], str | None]
"""Returns the Web UI's page of a run, from its keeper, its workflow id and its run id, if that is known."""

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Names the internal queues, at least one, that a name stands for: itself, or a topic's (spec 02 §6.2)."""


class Letter(Protocol):
    """One dead letter."""

    @property
    def letter(self) -> DeadLetter:
        """The message and how it died."""

    @property
    def payload(self) -> msgspec.Raw:
        """The message's payload."""

    @property
    def listed_error(self) -> str:
        """The error of the last attempt, as short as lists show it."""

    @property
    def workflow_id(self) -> str:
        """The workflow id of the dead letter itself."""

    @property
    def run_id(self) -> str:
        """Its run."""

    @property
    def keeper(self) -> str:
        """Names the namespace of Temporal that keeps it."""


class DeadLetterStore(Protocol):
    """Where dead letters are; every method raises `BridgeError` when they cannot be reached in time."""

    async def count(self, letters: LetterFilter) -> int:
        """Count the dead letters that fit."""

    async def depth(self, queues: Sequence[str]) -> int:
        """Count the messages of queues that wait for a free slot."""

    async def page(self, letters: LetterFilter, *, offset: int, limit: int) -> Sequence[Letter]:
        """List the dead letters that fit, newest first."""

    async def find(self, queues: Sequence[str], receipt: str) -> Sequence[Letter]:
        """Look up the dead letters of one message."""

    async def redrive_message(self, queues: Sequence[str], receipt: str) -> int:
        """Send a message's dead letters on their way again; answers how many were there."""

    async def discard_message(self, queues: Sequence[str], receipt: str) -> int:
        """Let a message's dead letters go for good; answers how many were there."""


class Operation(Protocol):
    """A bulk operation as it stands now."""

    @property
    def id(self) -> str:
        """By which it is asked for."""

    @property
    def queue(self) -> str:
        """The name that it was asked for."""

    @property
    def decision(self) -> Update:
        """What becomes of its dead letters."""

    @property
    def status(self) -> str:
        """`running`, `done`, `cancelled` or `failed`."""

    @property
    def began_at_ms(self) -> int:
        """Unix time."""

    @property
    def report(self) -> BulkReport:
        """How far it has come."""


class BulkStore(Protocol):
    """Where bulk operations are; every method raises `BridgeError` when they cannot be reached in time."""

    async def start(
        self,
        queue: str,
        letters: LetterFilter,
        decision: Update,
        *,
        rate_per_s: float | None = None,
        limit: int | None = None,
    ) -> str:
        """Begin an operation and return its id."""

    async def wait(self, operation_id: str, within_s: float) -> Operation | None:
        """Return an operation as soon as it has ended, or as it stands when the time is over."""

    async def look(self, operation_id: str) -> Operation | None:
        """Return an operation as it stands; `None` when there is none of that id."""

    async def cancel(self, operation_id: str) -> bool:
        """Have an operation begin no more; answers whether it was running."""


class TopicReader(Protocol):
    """Reads subscriptions; every method raises `BridgeError` when they cannot be reached."""

    async def subscribers(self, topic: str) -> Sequence[Subscriber]:
        """Return who is subscribed to a topic now, on whichever bridge, here or away."""

    async def list(self) -> Mapping[str, Sequence[Subscriber]]:
        """Return every topic that is subscribed to, perhaps as it was a moment ago."""


class TopicStore(TopicReader, Protocol):
    """Where subscriptions are."""

    @property
    def identity(self) -> str:
        """The name of this bridge as a holder of subscriptions."""

    async def wait(self) -> None:
        """Return once it has been reached."""

    async def subscribe(self, topic: str, request: SubscribeRequest) -> None:
        """Put a subscription in force.

        Raises:
            TriggerRejectedError: It is not accepted and never will be.
        """

    async def unsubscribe(self, topic: str, departure: Departure) -> None:
        """End this bridge's part in a subscription."""

    async def release(self, topic: str, departure: Departure) -> None:
        """Note that the function of a subscription is away from this bridge."""
