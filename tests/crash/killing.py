"""Who is killed, and when: the seed decides, as far as it can."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.crash.journal import count_lines
from tests.crash.site import Site
from tests.support.waiting import eventually

__all__ = ["Kill", "planned_kills"]

LINES_PER_ORDER = 6
"""Fewer than an order ever leaves in the journals with its ledger entry, so that every goal is reached."""
MAX_DELAY_S = 0.1
LONGEST_ABSENCE_S = 1.0
SHARE_OF_DOUBLE_KILLS = 0.3
PROGRESS_TIMEOUT_S = 300


@dataclass(frozen=True)
class Kill:
    """One round of killing.

    Attributes:
        victims: The processes that are killed at once.
        lines: How much work there must have been since the round before, in lines of journals.
        delay_s: How long after that they are killed, which is somewhere between two lines.
        absence_s: How long they stay away.
    """

    victims: Sequence[str]
    lines: int
    delay_s: float
    absence_s: float

    async def carry_out(self, site: Site) -> None:
        """Return when the victims are back."""
        goal = count_lines(site.journals) + self.lines
        await eventually(lambda: count_lines(site.journals) >= goal, PROGRESS_TIMEOUT_S)
        await asyncio.sleep(self.delay_s)
        site.kill(self.victims)
        await asyncio.sleep(self.absence_s)
        await site.start(self.victims)


def planned_kills(
    dice: random.Random, names: Sequence[str], kills: int, orders_per_kill: int
) -> Iterator[Kill]:
    """Yield so many rounds, in some of which two processes are killed together."""
    for _ in range(kills):
        at_once = 2 if dice.random() < SHARE_OF_DOUBLE_KILLS else 1
        yield Kill(
            victims=dice.sample(names, at_once),
            lines=dice.randint(1, LINES_PER_ORDER * max(orders_per_kill, 1)),
            delay_s=dice.uniform(0, MAX_DELAY_S),
            absence_s=dice.uniform(0, LONGEST_ABSENCE_S),
        )
