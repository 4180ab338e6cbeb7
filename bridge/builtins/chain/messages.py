"""What the functions of chains take and answer (docs/chains.md)."""

from typing import Annotated

import msgspec

from bridge.engine.chains import Target
from bridge.protocol.payload import NULL

__all__ = [
    "Cancelled",
    "Compensate",
    "Delay",
    "Held",
    "Join",
    "ListChains",
    "Result",
    "SendEvent",
    "Sent",
    "WaitForEvent",
    "Which",
]

_DEFAULT_QUEUE = "default"
_LONGEST_WAIT_MS = 60_000
_TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
_YEAR_3000_MS = 32_503_680_000_000

Receipt = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]
"""A UUID as Enqueue gives it."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Span = Annotated[int, msgspec.Meta(ge=0, le=_TEN_YEARS_MS)]
"""Milliseconds."""

UnixMilliseconds = Annotated[int, msgspec.Meta(ge=0, le=_YEAR_3000_MS)]


class _Target(msgspec.Struct, frozen=True):
    """A function, the queue it runs on, and its namespace, which is `default` unless said."""

    function_id: Text
    queue: Text = _DEFAULT_QUEUE
    namespace: Text = "default"

    @property
    def target(self) -> Target:
        return Target(self.function_id, self.queue, self.namespace)


class Which(msgspec.Struct, frozen=True):
    """A chain, by the receipt of any of its messages or by its id; `results: false` leaves results out."""

    receipt: Receipt | None = None
    chain_id: Receipt | None = None
    results: bool = True

    def __post_init__(self) -> None:
        if (self.receipt is None) == (self.chain_id is None):
            raise ValueError("give `receipt` or `chain_id`, one of them")

    @property
    def given(self) -> str:
        """The one that was given."""
        return self.receipt or self.chain_id or ""


class ListChains(msgspec.Struct, frozen=True):
    """Which chains to list, newest first; `cursor` is the `next` of the page before."""

    status: str | None = None
    function_id: Text | None = None
    queue: Text | None = None
    chain_id: Receipt | None = None
    started_after_ms: UnixMilliseconds | None = None
    started_before_ms: UnixMilliseconds | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


class Result(msgspec.Struct, frozen=True):
    """A message, and how long to wait for its end; `chain_id` helps to find it."""

    receipt: Receipt
    chain_id: Receipt | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=0, le=_LONGEST_WAIT_MS)] = 30_000


class Delay(_Target, frozen=True, kw_only=True):
    """A message that is delivered after a time."""

    delay_ms: Span
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)


class Compensate(_Target, frozen=True):
    """A compensation and its payload."""

    payload: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)


class Join(_Target, frozen=True, kw_only=True):
    """A function to run when messages have ended; `on_failure` is run instead if not all have completed."""

    receipts: Annotated[tuple[Receipt, ...], msgspec.Meta(min_length=1, max_length=1000)]
    on_failure: _Target | None = None
    timeout_ms: Span | None = None
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)


class WaitForEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A function to run when an event comes, and another to run when it does not come in time."""

    event: Text
    on_event: _Target
    on_timeout: _Target | None = None
    timeout_ms: Span | None = None
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)

    def __post_init__(self) -> None:
        if self.on_timeout is not None and self.timeout_ms is None:
            raise ValueError("`on_timeout` needs `timeout_ms`")


class SendEvent(Which, frozen=True, kw_only=True):
    """An event and its data, for the chain that waits for it, or will."""

    event: Text
    data: msgspec.Raw = msgspec.field(default_factory=lambda: NULL)


class Held(msgspec.Struct, frozen=True):
    """The receipt of what waits, or is owed."""

    receipt: str


class Cancelled(msgspec.Struct, frozen=True):
    """Whether the chain ran and has been asked to end."""

    cancelled: bool
    workflow_id: str


class Sent(msgspec.Struct, frozen=True):
    """Whether the chain runs and has the event."""

    delivered: bool
