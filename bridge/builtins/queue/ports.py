"""What the functions on queues need: dead letters, bulk operations, and what a name stands for."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from workflows.contract import BulkReport, DeadLetter, LetterFilter, Update

__all__ = ["BulkStore", "DeadLetterStore", "Letter", "Operation", "Resolver"]

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
