"""How a chain went: what the programs beside this file print when they are done."""

import json
import time
from typing import Any

from iii.iii import III  # type: ignore[import-untyped]

POLL_S = 0.1
OPEN = ("running", "compensating")


def chain_ended(iii: III, receipt: str) -> dict[str, Any]:
    """Return what `chain::get` answers once the chain of a message has ended."""
    while True:
        found: dict[str, Any] = iii.trigger({"function_id": "chain::get", "payload": {"receipt": receipt}})
        if found["chain"]["status"] not in OPEN:
            return found
        time.sleep(POLL_S)


def print_chain(found: dict[str, Any]) -> None:
    """Print a chain: a line for every step in the order in which they were enqueued, and how it ended."""
    for step in found["steps"]:
        outcome = step.get("detail") or json.dumps(step.get("result"), ensure_ascii=False)
        print(f"{step['function_id']:20} {step['status']:10} {outcome}")
    print(f"chain {found['chain']['status']}")
