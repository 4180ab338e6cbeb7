"""The processes of the HTTP benchmarks: `python -m bench.http_processes ROLE [URL]`.

A server prints its addresses as one line of JSON and runs until its standard input is closed.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import httpx
import structlog
import uvicorn
import uvloop
from iii import register_worker  # type: ignore[import-untyped]
from iii_helpers.http import http

from bridge.builtins.channels import Channels, ChannelTable
from bridge.builtins.engine_functions import EngineFunctions
from bridge.builtins.http import Http, HttpSettings
from bridge.engine.engine import Engine
from bridge.ids import new_uuid
from bridge.listeners.channel_socket import ChannelSocket
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket

__all__ = ["bridge_with_worker", "fastapi_server", "peak_bytes", "started"]

KIB = 1024
START_LIMIT_S = 20


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """Run one of the processes below; gives its id and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.http_processes",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OTEL_ENABLED": "false", "PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            line = await process.stdout.readline()
        yield process.pid, json.loads(line)
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def bridge_with_worker() -> AsyncIterator[tuple[int, str]]:
    """Run a bridge and a worker on the Python SDK; gives the bridge's process id and its HTTP address."""
    async with started("bridge") as (pid, addresses), started("worker", addresses["worker_url"]):
        await _until_priced(addresses["http_url"])
        yield pid, addresses["http_url"]


@asynccontextmanager
async def fastapi_server() -> AsyncIterator[str]:
    """Run the worker's handler in plain FastAPI on uvicorn; gives its address."""
    async with started("fastapi") as (_, addresses):
        await _until_priced(addresses["http_url"])
        yield addresses["http_url"]


def peak_bytes(pid: int) -> int | None:
    """Return the most memory a process ever held; `None` where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * KIB


async def _until_priced(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(START_LIMIT_S):
        while not (await client.post("/orders", json={"lines": []})).is_success:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.05)


def _price(order: dict[str, Any]) -> dict[str, Any]:
    return {"total": sum(line["quantity"] * line["price"] for line in order["lines"])}


async def _serve_bridge() -> None:
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        engine = Engine(spawn=spawn, new_id=new_uuid)
        table = ChannelTable(new_id=engine.new_id, now_ms=lambda: time.time_ns() // 1_000_000)
        EngineFunctions(engine, "bench").register(engine)
        Channels(table, spawn).register(engine)
        server = Http(engine, table, HttpSettings(port=0))
        server.register(engine)
        workers = WorkerSocket(engine, SocketLimits(), channels=ChannelSocket(table))
        worker_port = await workers.start("127.0.0.1", 0)
        port = await server.start()
        await _announce(http_url=f"http://127.0.0.1:{port}", worker_url=f"ws://127.0.0.1:{worker_port}")


async def _serve_fastapi() -> None:
    app = fastapi.FastAPI()

    @app.post("/orders")
    async def price(order: dict[str, Any]) -> dict[str, Any]:
        return _price(order)

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]), name="fastapi")
        await _announce(http_url=f"http://127.0.0.1:{listener.getsockname()[1]}")


async def _work(url: str) -> None:
    logging.getLogger("iii").setLevel(logging.ERROR)  # it warns of what every released version is used with
    worker = await asyncio.to_thread(register_worker, url)

    async def price(request: dict[str, Any]) -> dict[str, Any]:
        return {"body": _price(request["body"])}

    async def take(request: Any, _: Any) -> Any:
        size_bytes = 0
        async for chunk in request.request_body:
            size_bytes += len(chunk)
        return {"body": size_bytes}

    async def give(request: Any, response: Any) -> None:
        chunk = bytes(64 * KIB)
        for _ in range(int(request.query_params["mib"]) * 16):
            await response.writer.write(chunk)
        await response.writer.close_async()

    for function_id, path, handler in (
        ("bench::take", "/take", http(take)),
        ("bench::give", "/give", http(give)),
        ("bench::price", "/orders", price),
    ):
        worker.register_function(function_id, handler)
        config = {"api_path": path, "http_method": "POST"}
        worker.register_trigger({"type": "http", "function_id": function_id, "config": config})
    await _announce()


async def _announce(**addresses: str) -> None:
    print(json.dumps(addresses), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def _main(role: str, *arguments: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    roles: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "bridge": _serve_bridge,
        "fastapi": _serve_fastapi,
        "worker": _work,
    }
    uvloop.run(roles[role](*arguments))


if __name__ == "__main__":
    _main(*sys.argv[1:])
