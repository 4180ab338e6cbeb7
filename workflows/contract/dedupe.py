"""Markers of queues that drop duplicates."""

from dataclasses import dataclass

from workflows.contract.messages import Message
from workflows.contract.tenancy import Tenancy

__all__ = ["DedupeStart"]


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
