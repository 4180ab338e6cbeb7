"""The worker of the orders, on the real SDK: `python -m tests.crash.worker URL JOURNAL SEED`."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from iii import InitOptions, TriggerAction, register_worker  # type: ignore[import-untyped]
from iii.iii import III  # type: ignore[import-untyped]

from tests.crash.journal import Journal, Kind
from tests.crash.plan import COMPENSATIONS, ENTRY, STEPS, Plan

Data = dict[str, Any]
Handler = Callable[[Data, Data], Awaitable[Data]]


class PlannedFailureError(Exception):
    """The seed wants this attempt to fail."""


class Attempt:
    """One delivery: notes what it does, and enqueues what follows.

    Args:
        delivery: What the bridge says of it in the metadata.
    """

    def __init__(self, iii: III, journal: Journal, delivery: Data) -> None:
        self._iii = iii
        self._journal = journal
        self.receipt: str = delivery["receipt"]
        self.function_id: str = delivery["step"]
        self.number: int = delivery["attempt"]

    def note(self, kind: Kind) -> None:
        self._journal.write(kind, self.receipt, self.function_id, self.number)

    async def enqueue(self, order: Data, step: str, queue: str) -> str:
        accepted = await self._iii.trigger_async(
            {
                "function_id": STEPS[step],
                "payload": {**order, "step": step},
                "action": TriggerAction.Enqueue(queue=queue),
            }
        )
        return self._given(accepted["messageReceiptId"], STEPS[step])

    async def join(self, receipts: list[str], order: Data, step: str) -> None:
        held = await self._iii.trigger_async(
            {
                "function_id": "chain::join",
                "payload": {
                    "receipts": receipts,
                    "function_id": STEPS[step],
                    "queue": "orders",
                    "payload": {**order, "step": step},
                },
            }
        )
        self._given(held["receipt"], STEPS[step])

    def _given(self, receipt: str, function_id: str) -> str:
        self._journal.write(Kind.ENQUEUED, receipt, function_id, self.number)
        return receipt


async def begin(attempt: Attempt, order: Data) -> None:
    picks = [await attempt.enqueue(order, step, "orders") for step in ("pick-0", "pick-1", "pick-2")]
    await attempt.join(picks, order, "pack")


async def pack(attempt: Attempt, order: Data) -> None:
    await attempt.enqueue(order, "charge", "payments")


async def charge(attempt: Attempt, order: Data) -> None:
    await attempt.enqueue(order, "ship", "orders")


FOLLOWED_BY = {"order::begin": begin, "order::pack": pack, "order::charge": charge}


class Worker:
    """Serves every function of the plan."""

    def __init__(self, iii: III, journal: Journal, plan: Plan) -> None:
        self._iii = iii
        self._journal = journal
        self._plan = plan

    def register(self) -> None:
        for function_id in {*STEPS.values(), *COMPENSATIONS.values(), ENTRY}:
            undo = COMPENSATIONS.get(function_id)
            self._iii.register_function(
                function_id, self._handler(), metadata={"compensate": undo} if undo else None
            )

    def _handler(self) -> Handler:
        async def handle(data: Data, metadata: Data) -> Data:
            attempt = Attempt(self._iii, self._journal, metadata["iii-temporal"])
            attempt.note(Kind.BEGUN)
            await asyncio.sleep(self._plan.work_s(attempt.receipt, attempt.number))
            order = what_it_is_about(attempt.function_id, data)
            step = order["step"]
            if self._plan.fails(attempt.function_id, order["order"], step, attempt.number):
                raise PlannedFailureError(f"{attempt.function_id} of order {order['order']}, {step}")
            follow = FOLLOWED_BY.get(attempt.function_id)
            if follow is not None:
                await follow(attempt, order)
            attempt.note(Kind.DONE)
            return {"did": step}

        return handle


def what_it_is_about(function_id: str, data: Data) -> Data:
    """Return the order as the step was given it, whoever was given what."""
    if function_id in COMPENSATIONS.values():
        data = data["input"]
    if "results" in data:  # of a join
        data = data["payload"]
    return {key: data[key] for key in ("order", "customer", "step")}


def main() -> None:
    """Serve until killed."""
    url, journal, seed = sys.argv[1:]
    iii = register_worker(url, InitOptions(worker_name="crash"))
    Worker(iii, Journal(Path(journal)), Plan(int(seed))).register()
    threading.Event().wait()


if __name__ == "__main__":
    main()
