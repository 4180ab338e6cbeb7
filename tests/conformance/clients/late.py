"""Orders whose handlers go on when told, also after their attempts were given up.

Usage: late.py URL DIRECTORY. The handler of order M waits for the file `go-M-1` in the directory, or in every
later attempt for `go-M-2`, and everything is noted in the file `notes` there. It runs until it is killed.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from iii import TriggerAction, register_worker
from iii.iii_constants import InitOptions, ReconnectionConfig

URL, DIRECTORY = sys.argv[1], Path(sys.argv[2])
RECONNECTION = ReconnectionConfig(initial_delay_ms=20, max_delay_ms=100)
LOCK = threading.Lock()

worker = register_worker(URL, InitOptions(worker_name="late", reconnection_config=RECONNECTION))


def note(what: str, **more: Any) -> None:
    with LOCK, (DIRECTORY / "notes").open("a") as notes:
        notes.write(json.dumps({"what": what, **more}) + "\n")


def request(number: int) -> dict[str, Any]:
    return {
        "function_id": "late::charge",
        "payload": {"order": number},
        "action": TriggerAction.Enqueue(queue="charges"),
    }


async def told(number: int, attempt: int) -> None:
    while not (DIRECTORY / f"go-{number}-{min(attempt, 2)}").exists():  # noqa: ASYNC110 - other processes make it
        await asyncio.sleep(0.02)


@contextmanager
def noting(number: int, attempt: int) -> Iterator[dict[str, Any]]:
    """Note how an enqueue ends, whose answer the block puts into what it is given."""
    answer: dict[str, Any] = {}
    try:
        yield answer
    except Exception as error:
        note("refused", order=number, attempt=attempt, error=str(error))
        raise
    note("enqueued", order=number, attempt=attempt, receipt=answer["messageReceiptId"])


async def order(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    number, attempt = data["order"], metadata["iii-temporal"]["attempt"]
    note("began", order=number, attempt=attempt)
    await told(number, attempt)
    with noting(number, attempt) as answer:
        answer.update(await worker.trigger_async(request(number)))


def order_sync(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    number, attempt = data["order"], metadata["iii-temporal"]["attempt"]
    note("began", order=number, attempt=attempt)
    asyncio.run(told(number, attempt))
    with noting(number, attempt) as answer:
        answer.update(worker.trigger(request(number)))


async def order_over_a_hop(data: dict[str, Any], metadata: dict[str, Any]) -> Any:
    asked = {"order": data["order"], "attempt": metadata["iii-temporal"]["attempt"]}
    return await worker.trigger_async({"function_id": "late::hop", "payload": asked})


async def hop(data: dict[str, Any]) -> None:
    await order(data, {"iii-temporal": {"attempt": data["attempt"]}})


async def charge(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    note("charged", order=data["order"], receipt=metadata["iii-temporal"]["receipt"])


for name, handler in {
    "order": order,
    "order_sync": order_sync,
    "order_over_a_hop": order_over_a_hop,
    "hop": hop,
    "charge": charge,
}.items():
    worker.register_function(f"late::{name}", handler)
threading.Event().wait()
