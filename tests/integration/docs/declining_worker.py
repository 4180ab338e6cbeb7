"""A worker whose one function never takes a payment. Usage: declining_worker.py, with III_URL."""

import os
import threading
from typing import Any

from iii import InitOptions, register_worker


async def charge(_: Any) -> None:
    raise ValueError("card declined")


iii = register_worker(os.environ["III_URL"], InitOptions(worker_name="declining"))
iii.register_function("orders::charge", charge)
print("worker ready", flush=True)  # noqa: T201 - the test waits for it
threading.Event().wait()
