"""One after the other: extract → transform → load → notify.

Each function does one thing and enqueues the next with what it found. Together they are one chain, one
workflow in Temporal: a worker or a bridge that stops in the middle goes on at the step it was at.
"""

import os
from typing import Any

from iii import TriggerAction, register_worker  # type: ignore[import-untyped]
from outcome import chain_ended, print_chain

Json = dict[str, Any]

iii = register_worker(os.environ.get("III_URL", "ws://127.0.0.1:49134"))


def on_default(function_id: str, payload: Json) -> Json:
    """Return the request that enqueues a function on the queue `default`."""
    return {
        "function_id": function_id,
        "payload": payload,
        "action": TriggerAction.Enqueue(queue="default"),
    }


async def extract(day: Json) -> list[str]:
    """Read the raw lines of a day."""
    lines = ["mug 12", "cup 30"]
    await iii.trigger_async(on_default("sales::transform", {**day, "lines": lines}))
    return lines


async def transform(sales: Json) -> list[int]:
    """Keep the amounts."""
    amounts = [int(line.split()[1]) for line in sales["lines"]]
    await iii.trigger_async(on_default("sales::load", {"day": sales["day"], "amounts": amounts}))
    return amounts


async def load(sales: Json) -> int:
    """Add them up."""
    total = sum(sales["amounts"])
    await iii.trigger_async(on_default("sales::notify", {"day": sales["day"], "total": total}))
    return total


async def notify(sales: Json) -> str:
    """Tell everybody."""
    return f"sold {sales['total']} on {sales['day']}"


for step in (extract, transform, load, notify):
    iii.register_function(f"sales::{step.__name__}", step)

receipt = iii.trigger(on_default("sales::extract", {"day": "Monday"}))["messageReceiptId"]
print_chain(chain_ended(iii, receipt))
iii.shutdown()
