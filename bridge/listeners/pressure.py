"""Who fills the outboxes of others faster than they are read is slowed down, not they dropped."""

from contextvars import ContextVar

from bridge.listeners.outbox import Outbox
from bridge.protocol.outbound import CallFunction, OutboundMessage, TriggerBound

__all__ = ["Pressure", "note_pressure"]

MOST_CALLS = 64
"""How many calls one connection may put into crowded outboxes before it must wait: who calls now and then
does not suffer from those that flood."""

_current: ContextVar["Pressure | None"] = ContextVar("pressure", default=None)


class Pressure:
    """How one connection, and what it set in motion, weighs on outboxes that are crowded."""

    def __init__(self) -> None:
        self._calls = 0
        self._outbox: Outbox | None = None

    def begin(self) -> None:
        """Count what this task, and the tasks that it starts, sends from now on."""
        _current.set(self)

    def note(self, outbox: Outbox) -> None:
        """Note a message put into a crowded outbox."""
        self._calls += 1
        self._outbox = outbox

    @property
    def is_high(self) -> bool:
        """Tell whether there have been too many of them."""
        return self._calls >= MOST_CALLS

    async def relieve(self) -> None:
        """Wait until the outbox that was crowded last has room again.

        Cancellation: safe.
        """
        self._calls = 0
        if self._outbox is not None:
            await self._outbox.wait_for_room()


def note_pressure(outbox: Outbox, message: OutboundMessage) -> None:
    """Note a message at whoever caused it. Answers do not count: they were asked for by their receiver."""
    if outbox.is_crowded and isinstance(message, CallFunction | TriggerBound):
        pressure = _current.get()
        if pressure is not None:
            pressure.note(outbox)
