"""Who fills the outboxes of others faster than they are read is slowed down, not they dropped."""

import asyncio
from contextvars import ContextVar

from bridge.listeners.outbox import Outbox

__all__ = ["Pressure", "note_pressure"]

MOST_CALLS = 16
"""How many calls one connection may put into crowded outboxes before it must wait: who calls now and then
does not suffer from those that flood."""

MOST_BYTES = 256 * 1024
"""How large these calls may be together."""

_current: ContextVar["Pressure | None"] = ContextVar("pressure", default=None)


class Pressure:
    """How one connection, and what it set in motion, weighs on outboxes that are crowded."""

    def __init__(self) -> None:
        self._calls = 0
        self._bytes = 0
        self._outboxes: set[Outbox] = set()

    def begin(self) -> None:
        """Count what this task, and the tasks that it starts, sends from now on."""
        _current.set(self)

    def note(self, outbox: Outbox, size_bytes: int) -> None:
        """Note a call put into a crowded outbox."""
        self._calls += 1
        self._bytes += size_bytes
        self._outboxes.add(outbox)

    @property
    def is_high(self) -> bool:
        """Tell whether there have been too many of them."""
        return self._calls >= MOST_CALLS or self._bytes >= MOST_BYTES

    async def relieve(self) -> None:
        """Wait until all the outboxes that were crowded have room again.

        Cancellation: safe.
        """
        self._calls = self._bytes = 0
        outboxes, self._outboxes = self._outboxes, set()
        async with asyncio.TaskGroup() as tasks:  # at the same time: none is waited for without limit
            for outbox in outboxes:
                tasks.create_task(outbox.wait_for_room(), name="wait for room")


def note_pressure(outbox: Outbox, size_bytes: int) -> None:
    """Note a call at whoever caused it, if it makes a crowded outbox more so.

    Answers do not count: they were asked for by their receiver.
    """
    if outbox.is_crowded:
        pressure = _current.get()
        if pressure is not None:
            pressure.note(outbox, size_bytes)
