"""Side by side: plan a trip, ask for flights, hotels and cars at once, and offer what came back.

`chain::join` runs a function when all of some messages have ended, and gives it their results. Nobody waits
meanwhile: neither a worker nor a connection is held, and a restart forgets nothing.
"""

import asyncio
import os
from typing import Any

from iii import TriggerAction, register_worker  # type: ignore[import-untyped]
from outcome import chain_ended, print_chain

QUOTES = {"quotes::flight": 210, "quotes::hotel": 340, "quotes::car": 95}

iii = register_worker(os.environ.get("III_URL", "ws://127.0.0.1:49134"))


def on_default(function_id: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the request that enqueues a function on the queue `default`."""
    return {
        "function_id": function_id,
        "payload": payload,
        "action": TriggerAction.Enqueue(queue="default"),
    }


async def plan(trip: dict[str, Any]) -> dict[str, Any]:
    """First step: enqueue all three branches, then say what comes after them."""
    accepted = [await iii.trigger_async(on_default(quote, trip)) for quote in QUOTES]
    join = {
        "receipts": [each["messageReceiptId"] for each in accepted],
        "function_id": "trips::offer",
        "payload": trip,
    }
    await iii.trigger_async({"function_id": "chain::join", "payload": join})
    return trip


def quote(price: int) -> Any:
    """Return a branch: somebody who needs a moment to answer with a price."""

    async def answer(_trip: dict[str, Any]) -> int:
        await asyncio.sleep(0.1)
        return price

    return answer


async def offer(joined: dict[str, Any]) -> str:
    """Last step: it is given the results in the order of the receipts."""
    prices = [branch["result"] for branch in joined["results"]]
    return f"{joined['payload']['to']} for {' + '.join(map(str, prices))} = {sum(prices)}"


iii.register_function("trips::plan", plan)
for function_id, price in QUOTES.items():
    iii.register_function(function_id, quote(price))
iii.register_function("trips::offer", offer)

receipt = iii.trigger(on_default("trips::plan", {"to": "Lisbon"}))["messageReceiptId"]
print_chain(chain_ended(iii, receipt))
iii.shutdown()
