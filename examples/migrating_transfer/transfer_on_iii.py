"""After: the same transfer as three iii functions. Order, retries and undoing are the bridge's business."""

import os
import signal
import threading
from typing import Any

from bank import Bank
from iii import InitOptions, TriggerAction, register_worker  # type: ignore[import-untyped]

Json = dict[str, Any]


def main() -> None:
    """Serve transfers until SIGTERM or SIGINT."""
    bank = Bank()
    iii = register_worker(
        os.environ.get("III_URL", "ws://127.0.0.1:49134"), InitOptions(worker_name="transfers")
    )

    async def withdraw(transfer: Json) -> Json:
        answer = bank.book(transfer["source"], -transfer["amount"], f"{transfer['reference']}/withdraw")
        await iii.trigger_async(
            {
                "function_id": "transfers::deposit",
                "payload": transfer,
                "action": TriggerAction.Enqueue(queue="transfers"),
            }
        )
        return answer

    async def deposit(transfer: Json) -> Json:
        return bank.book(transfer["target"], transfer["amount"], f"{transfer['reference']}/deposit")

    async def refund(undone: Json) -> Json:
        transfer = undone["input"]
        return bank.book(transfer["source"], transfer["amount"], f"{transfer['reference']}/refund")

    iii.register_function("transfers::withdraw", withdraw, metadata={"compensate": "transfers::refund"})
    iii.register_function("transfers::deposit", deposit)
    iii.register_function("transfers::refund", refund)
    print("worker ready", flush=True)

    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    stop.wait()
    iii.shutdown()


if __name__ == "__main__":
    main()
