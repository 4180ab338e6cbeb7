"""A thousand workers on one bridge: how long they take to arrive and to come back, and what they cost.

The bridge runs in this process, so that its memory can be told; the workers run in another.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bridge.builtins.engine_functions import EngineFunctions
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.ids import new_uuid
from bridge.listeners.open_files import raise_open_file_limit
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket
from bridge.protocol import payload

__all__ = ["everything_offered", "fleet", "run"]

WORKERS = 1000
FUNCTIONS = 10
RETRY_S = 0.1
DISCOVERIES = 5
ARRIVAL_LIMIT_S = 120


async def fleet(url: str, workers: int, functions: int) -> None:
    """Run workers that connect all at once, echo what they are called with, and come back when dropped.

    Their functions are `worker-<n>::f<n>`.

    Cancellation: the way to end it.
    """
    async with asyncio.TaskGroup() as tasks:
        for number in range(workers):
            name = f"worker-{number}"
            tasks.create_task(_stay_connected(url, name, functions), name=name)


async def _stay_connected(url: str, name: str, functions: int) -> None:
    while True:
        with suppress(OSError, EOFError, WebSocketException):
            async with connect(url, compression=None, ping_interval=None, open_timeout=None) as connection:
                await _serve(connection, name, functions)
        await asyncio.sleep(RETRY_S)


async def _serve(connection: ClientConnection, name: str, functions: int) -> None:
    for number in range(functions):
        await connection.send(json.dumps({"type": "registerfunction", "id": f"{name}::f{number}"}))
    about = {"runtime": "bench", "version": "1.0.0", "name": name, "pid": 1}
    await connection.send(
        json.dumps(
            {
                "type": "invokefunction",
                "function_id": "engine::workers::register",
                "data": about,
                "action": {"type": "void"},
            }
        )
    )
    async for text in connection:
        frame = json.loads(text)
        if frame["type"] == "invokefunction":
            answer = {key: frame[key] for key in ("invocation_id", "function_id")}
            await connection.send(json.dumps(answer | {"type": "invocationresult", "result": frame["data"]}))


def everything_offered(engine: Engine, functions: int) -> Awaitable[Any]:
    """Return what is done once so many functions of workers have been offered."""
    offered: set[str] = set()
    complete = asyncio.Event()

    def note(function_id: str) -> None:
        offered.add(function_id)
        if len(offered) == functions:
            complete.set()

    engine.on_function_offered.append(note)
    return complete.wait()


@asynccontextmanager
async def _bridge(port: int) -> AsyncIterator[tuple[Engine, int]]:
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        engine = Engine(spawn=spawn, new_id=new_uuid)
        functions = EngineFunctions(engine, "bench")
        functions.register(engine)
        await functions.start()
        socket = WorkerSocket(engine, SocketLimits())
        try:
            yield engine, await socket.start("127.0.0.1", port)
        finally:
            await socket.stop_accepting()
            await socket.disconnect_all()
            await functions.close()


async def run() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    raise_open_file_limit()
    print(f"{WORKERS} workers with {FUNCTIONS} functions each")
    async with _bridge(0) as (engine, port):
        before_mb = _memory_mb()
        arrived = everything_offered(engine, WORKERS * FUNCTIONS)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.connections", f"ws://127.0.0.1:{port}", cwd=Path(__file__).parents[1]
        )
        try:
            _tell("all connected and registered", await _timed(arrived), "s, with the start of their process")
            held_mb = _memory_mb() - before_mb
            _tell("memory of the bridge", held_mb, f"MB, {held_mb * 1000 / WORKERS:.0f} kB per worker")
            await _discover(engine, "engine::functions::list")
            await _discover(engine, "engine::workers::list")
            _tell("one call to each worker, all at once", await _timed(_call_each(engine)), "s")
        except BaseException:
            process.kill()
            raise
    try:
        async with _bridge(port) as (engine, _):
            again = everything_offered(engine, WORKERS * FUNCTIONS)
            _tell("all back after a restart of the bridge", await _timed(again), "s")
            _tell("one call to each worker, all at once", await _timed(_call_each(engine)), "s")
            _tell("memory of the bridge", _memory_mb() - before_mb, "MB")
    finally:
        process.kill()
        await process.wait()


async def _discover(engine: Engine, function_id: str) -> None:
    call = Call(function_id, payload.encode({"include_internal": True}))
    took_s, size_bytes = [], 0
    for _ in range(DISCOVERIES):
        started_s = time.perf_counter()
        size_bytes = len((await engine.invoke(call)).unwrap())
        took_s.append(time.perf_counter() - started_s)
    _tell(function_id, statistics.median(took_s) * 1000, f"ms, {size_bytes // 1000} kB")


async def _call_each(engine: Engine) -> None:
    async def call(number: int) -> None:
        answer = await engine.invoke(Call(f"worker-{number}::f0", payload.encode(number)))
        if answer.unwrap() != payload.encode(number):
            raise AssertionError(f"worker {number} answered {answer}")

    async with asyncio.TaskGroup() as tasks:
        for number in range(WORKERS):
            tasks.create_task(call(number), name=f"call {number}")


async def _timed(work: Awaitable[Any]) -> float:
    started_s = time.perf_counter()
    async with asyncio.timeout(ARRIVAL_LIMIT_S):
        await work
    return time.perf_counter() - started_s


def _tell(what: str, amount: float, unit: str) -> None:
    print(f"  {what:<42}{amount:9.2f} {unit}", flush=True)


def _memory_mb() -> float:
    """Return the resident memory of this process, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (resident,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(resident) / 1000


if __name__ == "__main__":
    raise_open_file_limit()
    asyncio.run(fleet(sys.argv[1], WORKERS, FUNCTIONS))
