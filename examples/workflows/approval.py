"""A human in the loop: an expense waits for a team lead, then for a manager, and is refused in the end.

`chain::wait_for_event` goes on with one function when the event comes and with another when it does not come
in time. Nothing runs meanwhile: the wait is a timer in Temporal, as good for a week as for a second.
"""

import argparse
import json
import os
from typing import Any

from iii import TriggerAction, register_worker  # type: ignore[import-untyped]
from outcome import chain_ended, print_chain

Json = dict[str, Any]

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument(
    "--patience-s", type=float, default=60, help="how long each of the two has to decide (%(default)s)"
)
patience_ms = round(arguments.parse_args().patience_s * 1000)

iii = register_worker(os.environ.get("III_URL", "ws://127.0.0.1:49134"))


async def ask(who: str, expense: Json, on_timeout: str) -> str:
    """Wait for somebody's decision; whoever is late is passed over."""
    wait = {
        "event": "approved",
        "payload": expense,
        "on_event": {"function_id": "expenses::pay"},
        "on_timeout": {"function_id": on_timeout},
        "timeout_ms": patience_ms,
    }
    await iii.trigger_async({"function_id": "chain::wait_for_event", "payload": wait})
    return f"asked the {who}"


async def request(expense: Json) -> str:
    """First step: ask the team lead."""
    return await ask("team lead", expense, on_timeout="expenses::escalate")


async def escalate(wait: Json) -> str:
    """Ask the manager, as the team lead did not decide in time."""
    return await ask("manager", wait["payload"], on_timeout="expenses::refuse")


async def pay(wait: Json) -> str:
    """Pay what somebody approved; `data` is what came with the event."""
    return f"paid {wait['payload']['amount']}, approved by {wait['data']['by']}"


async def refuse(wait: Json) -> str:
    """Refuse what nobody decided about."""
    return f"refused {wait['payload']['amount']}, nobody answered"


iii.register_function("expenses::request", request)
iii.register_function("expenses::escalate", escalate)
iii.register_function("expenses::pay", pay)
iii.register_function("expenses::refuse", refuse)

accepted = iii.trigger(
    {
        "function_id": "expenses::request",
        "payload": {"amount": 250},
        "action": TriggerAction.Enqueue(queue="default"),
    }
)
approval = {"receipt": accepted["messageReceiptId"], "event": "approved", "data": {"by": "ada"}}
print("Approve it from another terminal:")
print(f"  iii-temporal trigger chain::send_event --json '{json.dumps(approval)}'", flush=True)
print_chain(chain_ended(iii, accepted["messageReceiptId"]))
iii.shutdown()
