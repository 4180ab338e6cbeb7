"""An order board that nobody asks for news, as an iii worker.

Requests only write orders to state. A state trigger counts them, a second one puts the counts on a stream,
and the page shows the stream. The README beside this file shows how to run it and what to try.
"""

import os
import signal
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from iii import InitOptions, register_worker  # type: ignore[import-untyped]
from iii.iii import III  # type: ignore[import-untyped]

Json = dict[str, Any]
Call = Callable[..., Awaitable[Any]]

STATUSES = ("open", "paid", "shipped")
PAGE = Path(__file__).parent / "index.html"


class OrderBoard:
    """The orders, and what reacts to them.

    Args:
        call: Calls a function through iii: `call(function_id, **payload)`.
        stream_url: Where browsers find iii's stream port.
    """

    def __init__(self, call: Call, stream_url: str) -> None:
        self._call = call
        self._page = PAGE.read_text().replace("{{stream_url}}", stream_url)

    async def page(self, _request: Json) -> Json:
        """`GET /board`: the page."""
        headers = {"content-type": "text/html; charset=utf-8"}
        return {"status_code": 200, "headers": headers, "body": self._page}

    async def place(self, _request: Json) -> Json:
        """`POST /board/orders`: place an order."""
        order = {"id": str(uuid.uuid4()), "status": "open"}
        await self._call("state::set", scope="board-orders", key=order["id"], value=order)
        return respond(201, order)

    async def advance(self, request: Json) -> Json:
        """`PUT /board/orders/:id`: set the status of an order.

        Compare-and-set, so that of two requests at once each sees what the other did.
        """
        status = request["body"].get("status") if isinstance(request["body"], dict) else None
        if status not in STATUSES:
            return respond(400, {"error": f"status must be one of {', '.join(STATUSES)}"})
        key = {"scope": "board-orders", "key": request["path_params"]["id"]}
        found = await self._call("state::get", **key, with_version=True)
        if found["version"] == 0:
            return respond(404, {"error": f"order {key['key']} does not exist"})
        order = {**found["value"], "status": status}
        await self._call("state::set", **key, value=order, expected_version=found["version"])
        return respond(200, order)

    async def has_new_status(self, event: Json) -> bool:
        """Condition of the trigger: an order whose status stays is no news."""
        return status_of(event["old_value"]) != status_of(event["new_value"])

    async def count(self, event: Json) -> None:
        """React to an order: move it from one count to another.

        Events may come in any order. Additions give the same sum in all of them, where recounting would not.
        """
        ops = [
            {"type": kind, "path": status, "by": 1}
            for kind, status in (
                ("decrement", status_of(event["old_value"])),
                ("increment", status_of(event["new_value"])),
            )
            if status is not None
        ]
        await self._call("state::update", scope="board", key="counts", ops=ops)

    async def show(self, _event: Json) -> None:
        """React to the counts: put them on the stream that browsers follow.

        Of two runs at once, the one that writes last may have read first: so each reads again until what it
        wrote is what is there.
        """
        item = {"stream_name": "board", "group_id": "all", "item_id": "counts"}
        shown = None
        while (counts := await self._call("state::get", scope="board", key="counts")) != shown:
            await self._call("stream::set", **item, data={"id": "counts", **counts})
            shown = counts


def status_of(order: Json | None) -> str | None:
    """Return the status of an order, None where there is no order."""
    return order["status"] if order else None


def respond(status_code: int, body: Json) -> Json:
    """Return what an `http` trigger turns into an HTTP response."""
    return {"status_code": status_code, "body": body}


def register(iii: III, board: OrderBoard) -> None:
    """Register the functions and what starts them."""
    for function_id, handler in {
        "board::page": board.page,
        "board::place": board.place,
        "board::advance": board.advance,
        "board::has-new-status": board.has_new_status,
        "board::count": board.count,
        "board::show": board.show,
    }.items():
        iii.register_function(function_id, handler)
    for kind, function_id, config in (
        ("http", "board::page", {"api_path": "/board", "http_method": "GET"}),
        ("http", "board::place", {"api_path": "/board/orders", "http_method": "POST"}),
        ("http", "board::advance", {"api_path": "/board/orders/:id", "http_method": "PUT"}),
        (
            "state",
            "board::count",
            {"scope": "board-orders", "condition_function_id": "board::has-new-status"},
        ),
        ("state", "board::show", {"scope": "board", "key": "counts"}),
    ):
        iii.register_trigger({"type": kind, "function_id": function_id, "config": config})


def main() -> None:
    """Serve the board until SIGTERM or SIGINT."""
    iii = register_worker(
        os.environ.get("III_URL", "ws://127.0.0.1:49134"), InitOptions(worker_name="reactive-state")
    )

    async def call(function_id: str, **payload: Any) -> Any:
        return await iii.trigger_async({"function_id": function_id, "payload": payload})

    register(iii, OrderBoard(call, os.environ.get("STREAM_URL", "ws://127.0.0.1:3112")))
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    stop.wait()
    iii.shutdown()


if __name__ == "__main__":
    main()
