"""Dead letters of every namespace, as if they were in one."""

import heapq
from collections.abc import Sequence
from itertools import islice

from bridge.temporal.dead_letters import DeadLetterEntry, DeadLetters
from bridge.temporal.spread.looking import ask_all
from workflows.contract import LetterFilter

__all__ = ["SpreadDeadLetters"]


class SpreadDeadLetters:
    """The dead letters of queues. Methods take the internal queues that a name stands for.

    Every method raises `BridgeError` when Temporal does not answer in time: a number that leaves out a
    namespace would be wrong.

    Args:
        parts: Those of each namespace.
    """

    def __init__(self, parts: Sequence[DeadLetters]) -> None:
        self._parts = parts

    async def count(self, letters: LetterFilter) -> int:
        """Count the dead letters that fit."""
        return sum(await ask_all(each.count(letters) for each in self._parts))

    async def depth(self, queues: Sequence[str]) -> int:
        """Count the deliveries of queues that wait for a free slot."""
        return sum(await ask_all(each.depth(queues) for each in self._parts))

    async def page(self, letters: LetterFilter, *, offset: int, limit: int) -> list[DeadLetterEntry]:
        """List the dead letters that fit, newest first."""
        if len(self._parts) == 1:
            return await self._parts[0].page(letters, offset=offset, limit=limit)
        until = offset + limit
        pages = await ask_all(each.page(letters, offset=0, limit=until) for each in self._parts)
        newest_first = heapq.merge(*pages, key=lambda entry: -entry.letter.failed_at_ms)
        return list(islice(newest_first, offset, until))

    async def find(self, queues: Sequence[str], receipt: str) -> list[DeadLetterEntry]:
        """Look up the dead letters of one message."""
        return [
            entry
            for found in await ask_all(each.find(queues, receipt) for each in self._parts)
            for entry in found
        ]

    async def redrive_message(self, queues: Sequence[str], receipt: str) -> int:
        """Send a message's dead letters on their way again; answers how many were there."""
        return sum(await ask_all(each.redrive_message(queues, receipt) for each in self._parts))

    async def discard_message(self, queues: Sequence[str], receipt: str) -> int:
        """Let a message's dead letters go for good; answers how many were there."""
        return sum(await ask_all(each.discard_message(queues, receipt) for each in self._parts))
