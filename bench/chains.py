"""Durable chains: through the bridge, and written by hand with temporalio, on one Temporal server.

Both run three steps in one workflow; by hand these are three activities in a row, through the bridge each
step's handler enqueues the next.
"""

import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker
from websockets.asyncio.client import connect

from bench.by_hand import STEPS, ByHand, by_hand
from bench.temporal_server import temporal_server
from bridge.app import Bridge
from bridge.config import load_config

__all__ = ["run"]

CHAINS = 150
IN_FLIGHT = 50
LATENCY_SAMPLES = 100
CALLS = 2000


class ProtocolWorker:
    """An iii worker that speaks the protocol itself, so that only the bridge is measured."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.finished = asyncio.Semaphore(0)

    async def register(self) -> None:
        """Offer the steps and an echo."""
        for function_id in (*(f"bench::step{n}" for n in range(STEPS)), "bench::echo"):
            await self._send({"type": "registerfunction", "id": function_id})
        register = {
            "type": "invokefunction",
            "function_id": "engine::workers::register",
            "data": {"runtime": "python", "version": "0.25.0"},
        }
        await self._send(register | {"action": {"type": "void"}})

    async def call(self, function_id: str, data: object, queue: str | None = None) -> dict[str, Any]:
        """Call a function, or enqueue it, and wait for the answer."""
        invocation_id = str(uuid.uuid4())
        answer = asyncio.get_running_loop().create_future()
        self._answers[invocation_id] = answer
        frame = {
            "type": "invokefunction",
            "invocation_id": invocation_id,
            "function_id": function_id,
            "data": data,
        }
        if queue is not None:
            frame["action"] = {"type": "enqueue", "queue": queue}
        await self._send(frame)
        return await answer

    async def serve(self) -> None:
        """Run handlers until the connection ends."""
        async with asyncio.TaskGroup() as tasks:
            async for text in self._connection:
                frame = json.loads(text)
                if frame["type"] == "invocationresult":
                    self._answers.pop(frame["invocation_id"]).set_result(frame)
                elif frame["type"] == "invokefunction":
                    tasks.create_task(self._handle(frame))

    async def _handle(self, frame: dict[str, Any]) -> None:
        function_id = frame["function_id"]
        if function_id.startswith("bench::step"):
            await self._next_step(int(function_id.removeprefix("bench::step")), frame)
        answer = {
            "type": "invocationresult",
            "invocation_id": frame["invocation_id"],
            "function_id": function_id,
        }
        await self._send(answer | {"result": frame["data"]})

    async def _next_step(self, step: int, frame: dict[str, Any]) -> None:
        if step + 1 == STEPS:
            self.finished.release()
            return
        invocation_id = str(uuid.uuid4())
        answer = asyncio.get_running_loop().create_future()
        self._answers[invocation_id] = answer
        await self._send(
            {
                "type": "invokefunction",
                "invocation_id": invocation_id,
                "function_id": f"bench::step{step + 1}",
                "data": frame["data"],
                "baggage": frame["baggage"],
                "action": {"type": "enqueue", "queue": "bench"},
            }
        )
        await answer

    async def _send(self, frame: dict[str, Any]) -> None:
        await self._connection.send(json.dumps(frame))


async def run() -> None:
    """Measure chains per second and the time to a receipt, and print them with their ratios."""
    async with temporal_server() as address:
        client = await Client.connect(address)
        async with _worker_by_hand(client):
            hand_rate = await _rate(lambda n: _run_by_hand(client, n))
            hand_ms = await _latencies(lambda n: _start_by_hand(client, n))
        async with _bridged_worker(address) as worker:
            bridge_rate = await _rate(lambda n: _run_bridged(worker, n))
            bridge_ms = await _latencies(lambda n: _enqueue(worker, n))
            call_ms = await _latencies(lambda n: worker.call("bench::echo", {"n": n}), samples=CALLS)
    print(
        f"{f'{STEPS}-step chains, {IN_FLIGHT} in flight':<34}{'chains/s':>10}{'receipt p50':>14}{'p99':>10}"
    )
    _print_row("temporalio by hand", hand_rate, hand_ms)
    _print_row("bridge", bridge_rate, bridge_ms)
    print(
        f"{'  bridge / by hand':<34}{bridge_rate / hand_rate:>10.2f}"
        f"{_p(bridge_ms, 50) / _p(hand_ms, 50):>14.2f}{_p(bridge_ms, 99) / _p(hand_ms, 99):>10.2f}"
    )
    print(f"sync call, worker to worker: p50 {_p(call_ms, 50):.2f} ms, p99 {_p(call_ms, 99):.2f} ms")


@asynccontextmanager
async def _worker_by_hand(client: Client) -> AsyncIterator[None]:
    async with Worker(client, task_queue="by-hand", workflows=[ByHand], activities=[by_hand]):
        yield


async def _start_by_hand(client: Client, number: int) -> Any:
    return await client.start_workflow(
        "ByHand", {"n": number}, id=f"by-hand/{uuid.uuid4()}", task_queue="by-hand", request_eager_start=True
    )


async def _run_by_hand(client: Client, number: int) -> None:
    await (await _start_by_hand(client, number)).result()


async def _enqueue(worker: ProtocolWorker, number: int) -> None:
    answer = await worker.call("bench::step0", {"n": number}, queue="bench")
    if "error" in answer:
        raise RuntimeError(answer["error"]["message"])


async def _run_bridged(worker: ProtocolWorker, number: int) -> None:
    await _enqueue(worker, number)
    await worker.finished.acquire()


@asynccontextmanager
async def _bridged_worker(address: str) -> AsyncIterator[ProtocolWorker]:
    config = {
        "workers": [
            {"name": "iii-temporal", "config": {"address": address, "admin": {"port": 0}}},
            {"name": "iii-worker-manager", "config": {"port": 0}},
            {"name": "iii-queue", "config": {"queue_configs": {"bench": {"concurrency": 100}}}},
        ]
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.yaml"
        path.write_text(json.dumps(config))
        bridge = Bridge(load_config(path, environ={}))
        running = asyncio.create_task(bridge.run(), name="bridge")
        addresses = await bridge.ready
        async with connect(addresses.workers[0]) as connection:
            worker = ProtocolWorker(connection)
            serving = asyncio.create_task(worker.serve(), name="worker")
            await worker.register()
            yield worker
        await serving
        bridge.stop()
        await running


async def _rate(one: Callable[[int], Awaitable[None]]) -> float:
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def bounded(number: int) -> None:
        async with slots:
            await one(number)

    began = time.perf_counter()
    await asyncio.gather(*(bounded(number) for number in range(CHAINS)))
    return CHAINS / (time.perf_counter() - began)


async def _latencies(one: Callable[[int], Awaitable[Any]], samples: int = LATENCY_SAMPLES) -> list[float]:
    times_ms = []
    for number in range(samples):
        began = time.perf_counter()
        await one(number)
        times_ms.append((time.perf_counter() - began) * 1000)
    return times_ms


def _p(times_ms: list[float], percent: int) -> float:
    return statistics.quantiles(times_ms, n=100)[percent - 1]


def _print_row(label: str, rate: float, times_ms: list[float]) -> None:
    print(f"{label:<34}{rate:>10.1f}{_p(times_ms, 50):>11.2f} ms{_p(times_ms, 99):>7.2f} ms")


if __name__ == "__main__":
    asyncio.run(run())
