"""What every order is to do, and which of its handlers are to fail: all of it follows from the seed.

An order begins, picks three items at once, packs them when all are there, charges the customer and ships.
Charges of one customer go one after the other. Beside every order stands an entry of the customer's ledger,
which belongs to no order: a plain message of a FIFO queue.
"""

import random
from dataclasses import dataclass
from typing import Any

__all__ = [
    "COMPENSATIONS",
    "ENTRY",
    "FIRST",
    "QUEUES",
    "STEPS",
    "Order",
    "Plan",
]

FIRST = "order::begin"
ENTRY = "ledger::enter"
STEPS = {
    "begin": FIRST,
    "pick-0": "order::pick",
    "pick-1": "order::pick",
    "pick-2": "order::pick",
    "pack": "order::pack",
    "charge": "order::charge",
    "ship": "order::ship",
}
"""The function behind every step of an order."""

COMPENSATIONS = {
    FIRST: "undo::begin",
    "order::pick": "undo::pick",
    "order::charge": "undo::charge",
}

_RETRIES = {"max_retries": 12, "backoff_type": "fixed", "backoff_ms": 50}
"""So many attempts that kills alone never use them up."""

QUEUES: dict[str, dict[str, Any]] = {
    "orders": _RETRIES,
    "payments": {**_RETRIES, "type": "fifo", "message_group_field": "customer"},
    "ledger": {**_RETRIES, "type": "fifo", "message_group_field": "customer"},
}
_CUSTOMERS = 5
_SHARE_OF_DOOMED_ORDERS = 0.25
_SHARE_OF_DOOMED_ENTRIES = 0.05
_FAILURES = (0, 0, 0, 0, 0, 0, 1, 1, 2)
_LONGEST_WORK_S = 0.6


@dataclass(frozen=True)
class Order:
    """One order.

    Attributes:
        customer: Whose it is, and the FIFO group of its charge and of its ledger entry.
        doomed: The step that fails until it is out of attempts, if one does.
    """

    number: int
    customer: str
    doomed: str | None

    @property
    def data(self) -> dict[str, Any]:
        """The payload of its first message."""
        return {"order": self.number, "customer": self.customer, "step": "begin"}


class Plan:
    """What a seed decides.

    Args:
        seed: The same one makes the same plan.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def order(self, number: int) -> Order:
        dice = self._dice("order", number)
        is_doomed = dice.random() < _SHARE_OF_DOOMED_ORDERS
        return Order(
            number, f"customer-{dice.randrange(_CUSTOMERS)}", dice.choice(list(STEPS)) if is_doomed else None
        )

    def fails(self, function_id: str, order: int, step: str, attempt: int) -> bool:
        """Say whether an attempt is to fail.

        Args:
            function_id: Whose attempt.
            order: The order's number.
            step: The step, for a compensation the one that it undoes.
            attempt: Counts from 1.
        """
        dice = self._dice(function_id, order, step)
        if function_id == ENTRY and dice.random() < _SHARE_OF_DOOMED_ENTRIES:
            return True
        if function_id == STEPS.get(step) and self.order(order).doomed == step:
            return True
        return attempt <= dice.choice(_FAILURES)

    def work_s(self, receipt: str, attempt: int) -> float:
        """Return how long an attempt takes before it acts."""
        return self._dice(receipt, attempt).uniform(0, _LONGEST_WORK_S)

    def _dice(self, *names: object) -> random.Random:
        return random.Random(f"{self._seed}/{names}")
