"""Chains as those see them who ask: what `chain::get`, `chain::list` and `chain::result` answer.

Times are Unix times in milliseconds; 0 or `None` is never.
"""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from bridge.engine.calls import Call

__all__ = [
    "UNKNOWN",
    "ChainCommands",
    "ChainFilter",
    "ChainPage",
    "ChainRow",
    "ChainView",
    "Chains",
    "Ending",
    "HoldView",
    "StepView",
    "Target",
]

UNKNOWN = "unknown"
_OPEN = ("waiting", "running")


class Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has become of one message.

    Attributes:
        status: `waiting`, `running`, `completed`, `lost`, `dropped`, or `unknown`.
        result: What its function answered, as JSON.
        error: Why it was lost.
        workflow_id: The workflow that has it.
        result_omitted: Whether its function answered more than could be kept.
        detail: Why that was so.
    """

    receipt: str
    status: str
    result: msgspec.Raw | None = None
    error: str | None = None
    workflow_id: str | None = None
    result_omitted: bool = False
    detail: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may still become something else."""
        return self.status in _OPEN


class StepView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a chain; times are Unix times, 0 is never.

    Attributes:
        detail: What it waits for, why it was lost, or why its result was not kept.
        result_omitted: Whether its function answered more than could be kept.
    """

    receipt: str
    function_id: str
    queue: str
    status: str
    detail: str = ""
    parent: str | None = None
    compensates: str | None = None
    enqueued_at_ms: int = 0
    began_at_ms: int = 0
    ended_at_ms: int = 0
    result: msgspec.Raw | None = None
    result_omitted: bool = False


class HoldView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What waits in a chain: for an event, or for messages."""

    receipt: str
    function_id: str
    event: str | None = None
    receipts: tuple[str, ...] = ()
    until_ms: int | None = None


class ChainRow(msgspec.Struct, frozen=True):
    """One chain, as lists show it.

    Attributes:
        namespace: The namespace of Temporal that keeps it.
    """

    workflow_id: str
    run_id: str
    function_id: str
    status: str
    started_at_ms: int
    ended_at_ms: int | None
    chain_id: str | None
    queue: str | None
    namespace: str


class ChainView(msgspec.Struct, frozen=True):
    """A chain with its steps, oldest first.

    Attributes:
        waiting: What waits for an event or for other messages.
        compensations_owed: How many would run if a step were lost.
    """

    chain: ChainRow
    steps: list[StepView]
    waiting: list[HoldView]
    compensations_owed: int


class ChainPage(msgspec.Struct, frozen=True):
    """A page of chains, newest first in each namespace of Temporal; `next` is the cursor of the next one."""

    chains: list[ChainRow]
    next: str | None


class ChainFilter(msgspec.Struct, frozen=True):
    """Which chains to list; what is `None` does not matter.

    Attributes:
        function_id: The function that the chain began with.
        queue: The queue that it began on.
        chain_id: The receipt that everything began with.
    """

    status: str | None = None
    function_id: str | None = None
    queue: str | None = None
    chain_id: str | None = None
    started_after_ms: int | None = None
    started_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A function to run, and the queue it is to run on."""

    function_id: str
    queue: str
    namespace: str


class Chains(Protocol):
    """Where chains are; every method raises `EngineError` when they cannot be reached.

    `home` is the receipt of a chain that probably has the message.
    """

    async def chain_of(self, receipt: str, home: str | None = None) -> str | None:
        """Find the workflow id of the chain that keeps a message."""

    async def get(
        self, receipt: str, home: str | None = None, *, with_results: bool = True
    ) -> ChainView | None:
        """Read the chain of a message."""

    async def await_ending(self, receipt: str, timeout_s: float, home: str | None = None) -> Ending:
        """Wait for a message to end; when the time is over, tell how far it has come."""

    async def page(self, wanted: ChainFilter, limit: int, cursor: str | None) -> ChainPage:
        """List chains, newest first."""

    async def cancel(self, workflow_id: str) -> bool:
        """Ask a chain to end and to compensate; answers whether it ran."""


class ChainCommands(Protocol):
    """What is asked of chains; every method raises `EnqueueError` when Temporal did not take it.

    Those that wait answer the receipt of what waits.
    """

    async def compensate(self, call: Call, target: Target, payload: msgspec.Raw) -> str:
        """Have the chain of the calling handler undo something if it is lost or cancelled."""

    async def wait_for_event(
        self,
        call: Call,
        event: str,
        payload: msgspec.Raw,
        *,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
    ) -> str:
        """Go on with one function when an event comes, or with another when it does not come."""

    async def join(
        self,
        call: Call,
        receipts: tuple[str, ...],
        payload: msgspec.Raw,
        *,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
    ) -> str:
        """Go on with a function when messages have ended; it is given their results."""

    async def send_event(self, chain_workflow_id: str, event: str, payload: msgspec.Raw) -> bool:
        """Tell a chain of an event; answers whether the chain ran."""
