"""A to-do list that every open browser sees change at once, as an iii worker.

The entries live in a stream. HTTP requests change them; the page is told by the stream itself and never asks.
The README beside this file shows how to run it and what to try.
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

LIST = {"stream_name": "todos", "group_id": "everyone"}
MAX_TEXT_LENGTH = 200
PAGE = Path(__file__).parent / "index.html"


class TodoList:
    """The list and the requests that change it.

    Args:
        call: Calls a function through iii: `call(function_id, **payload)`.
        stream_url: Where browsers find iii's stream port.
    """

    def __init__(self, call: Call, stream_url: str) -> None:
        self._call = call
        self._page = PAGE.read_text().replace("{{stream_url}}", stream_url)

    async def page(self, _request: Json) -> Json:
        """`GET /todos`: the page."""
        headers = {"content-type": "text/html; charset=utf-8"}
        return {"status_code": 200, "headers": headers, "body": self._page}

    async def create(self, request: Json) -> Json:
        """`POST /todos`: add an entry."""
        body = request["body"]
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_TEXT_LENGTH:
            return respond(400, {"error": f"text must be a string of 1 to {MAX_TEXT_LENGTH} characters"})
        entry = {"id": str(uuid.uuid4()), "text": text.strip(), "done": False}
        await self._call("stream::set", **LIST, item_id=entry["id"], data=entry)
        return respond(201, entry)

    async def change(self, request: Json) -> Json:
        """`PUT /todos/:id`: tick an entry off, or not."""
        body = request["body"]
        done = body.get("done") if isinstance(body, dict) else None
        if not isinstance(done, bool):
            return respond(400, {"error": "done must be true or false"})
        entry_id = request["path_params"]["id"]
        ops = [{"type": "set", "path": "done", "value": done}]
        result = await self._call("stream::update", **LIST, item_id=entry_id, ops=ops)
        if result["old_value"] is None:  # an update creates what is not there
            await self._call("stream::delete", **LIST, item_id=entry_id)
            return respond(404, {"error": f"entry {entry_id} does not exist"})
        return respond(200, result["new_value"])

    async def remove(self, request: Json) -> Json:
        """`DELETE /todos/:id`: remove an entry; one that is gone already is fine."""
        await self._call("stream::delete", **LIST, item_id=request["path_params"]["id"])
        return respond(200, {})


def respond(status_code: int, body: Json) -> Json:
    """Return what an `http` trigger turns into an HTTP response."""
    return {"status_code": status_code, "body": body}


def register(iii: III, todos: TodoList) -> None:
    """Register the functions and the requests that call them."""
    for function_id, handler, method, path in (
        ("todos::page", todos.page, "GET", "/todos"),
        ("todos::create", todos.create, "POST", "/todos"),
        ("todos::change", todos.change, "PUT", "/todos/:id"),
        ("todos::remove", todos.remove, "DELETE", "/todos/:id"),
    ):
        iii.register_function(function_id, handler)
        iii.register_trigger(
            {
                "type": "http",
                "function_id": function_id,
                "config": {"api_path": path, "http_method": method},
            }
        )


def main() -> None:
    """Serve the list until SIGTERM or SIGINT."""
    iii = register_worker(
        os.environ.get("III_URL", "ws://127.0.0.1:49134"), InitOptions(worker_name="realtime-todo")
    )

    async def call(function_id: str, **payload: Any) -> Any:
        return await iii.trigger_async({"function_id": function_id, "payload": payload})

    register(iii, TodoList(call, os.environ.get("STREAM_URL", "ws://127.0.0.1:3112")))
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    stop.wait()
    iii.shutdown()


if __name__ == "__main__":
    main()
