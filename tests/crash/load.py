"""Who enqueues the orders: insists until there is a receipt, whoever is being killed."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import WebSocketException

from tests.crash.plan import ENTRY, FIRST, Order
from tests.support.fake_sdk import CallFailed, connected

__all__ = ["Load", "Sent"]

PAUSE_S = 0.1
LONGEST_DELAY_S = 0.5
OPEN_TIMEOUT_S = 2


@dataclass(frozen=True)
class Sent:
    """A message that was acknowledged.

    Attributes:
        order: The order's number.
        customer: Whose it is.
        place: Counts the acknowledged ledger entries of the customer; 0 of an order.
        tries: How often it was enqueued; all but the last time without an answer that there is a receipt.
    """

    receipt: str
    function_id: str
    order: int
    customer: str
    place: int
    tries: int


@dataclass
class Load:
    """Enqueues on any of the bridges.

    A customer's ledger entries are enqueued one after the other, each when the one before has its receipt.

    Args:
        urls: The bridges.
        dice: Choose bridges and instants.
    """

    urls: Sequence[str]
    dice: random.Random
    sent: list[Sent] = field(default_factory=list)
    _ledgers: dict[str, asyncio.Lock] = field(default_factory=dict)
    _places: dict[str, "itertools.count[int]"] = field(default_factory=dict)

    async def place(self, order: Order) -> None:
        """Enqueue an order and its ledger entry; returns when both have a receipt."""
        await asyncio.sleep(self.dice.uniform(0, LONGEST_DELAY_S))
        await asyncio.gather(self._place_order(order), self._place_entry(order))

    async def _place_order(self, order: Order) -> None:
        receipt, tries = await self._enqueue(FIRST, order.data, "orders")
        self.sent.append(Sent(receipt, FIRST, order.number, order.customer, 0, tries))

    async def _place_entry(self, order: Order) -> None:
        customer = order.customer
        async with self._ledgers.setdefault(customer, asyncio.Lock()):
            receipt, tries = await self._enqueue(ENTRY, {**order.data, "step": "enter"}, "ledger")
            place = next(self._places.setdefault(customer, itertools.count(1)))
            self.sent.append(Sent(receipt, ENTRY, order.number, customer, place, tries))

    async def _enqueue(self, function_id: str, data: dict[str, Any], queue: str) -> tuple[str, int]:
        for tries in itertools.count(1):
            try:
                async with connected(self.dice.choice(self.urls), open_timeout=OPEN_TIMEOUT_S) as sdk:
                    return await sdk.enqueue(function_id, data, queue), tries
            except (CallFailed, OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(PAUSE_S)
        raise AssertionError("counting has no end")
