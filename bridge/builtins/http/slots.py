"""How many requests are on their way to the head of a response at one time (spec 04 §5.4)."""

import asyncio

__all__ = ["Slots"]


class Slots:
    """A number of slots that can change while they are in use; who finds none waits, first come first served.

    `async with slots:` holds one. Cancellation: safe; a slot that came too late goes to the next.

    Args:
        limit: How many there are; less than one counts as one.
    """

    def __init__(self, limit: int) -> None:
        self._taken = 0
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.resize(limit)

    def resize(self, limit: int) -> None:
        """Change how many there are; slots beyond a lower limit are given up as their holders finish."""
        self._limit = max(limit, 1)
        self._hand_out()

    async def __aenter__(self) -> None:
        if self._taken < self._limit and not self._waiting:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.pop(turn, None)
            else:
                self._give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._taken < self._limit:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
