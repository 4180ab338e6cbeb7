"""Two functions of a shop as an iii worker; workflows of Temporal call them as activities."""

import asyncio
import os
import signal
import threading
from typing import Any

from iii import InitOptions, register_worker  # type: ignore[import-untyped]

Json = dict[str, Any]


class OutOfStockError(Exception):
    """There is not enough of an article; trying again can help."""


class Inventory:
    """Runs out of stock once per order, and gets new stock at once."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    async def reserve(self, order: Json) -> Json:
        """Reserve the articles of an order."""
        if order["id"] not in self._asked:
            self._asked.add(order["id"])
            raise OutOfStockError(f"no {order['article']} left for order {order['id']}")
        return {"reservation": f"r-{order['id']}", "article": order["article"]}


async def charge(order: Json) -> Json:
    """Charge the payment of an order."""
    await asyncio.sleep(0)  # where the payment provider would be asked
    return {"payment": f"p-{order['id']}", "amount": order["amount"]}


def main() -> None:
    """Offer the functions until told to stop."""
    iii = register_worker(
        os.environ.get("III_URL", "ws://127.0.0.1:49134"), InitOptions(worker_name="shop-functions")
    )
    iii.register_function("inventory::reserve", Inventory().reserve)
    iii.register_function("payments::charge", charge)
    print("worker ready", flush=True)
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    stop.wait()
    iii.shutdown()


if __name__ == "__main__":
    main()
