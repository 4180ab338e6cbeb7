"""State reads and writes per second, beside the bare SQLite and the bare Redis they end up in.

One caller waits for each answer before it asks again; many callers do so side by side. The bare stores are
given the same chance: many commands in one transaction, or in one pipeline. State is called inside the
bridge, without the socket between it and its workers.
"""

import asyncio
import json
import shutil
import socket
import sqlite3
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.builtins.state import State, StateSettings
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.protocol import payload
from bridge.storage import KeyValueStore, LocalBroker, MemoryStore, RedisBroker, RedisStore, SqliteStore

__all__ = ["run"]

CALLERS = (1, 64)
DURATION_S = 0.5
REPEATS = 3
KEYS = 1000
VALUE = {"order_id": "o-17", "status": "paid", "items": [{"sku": "mug", "quantity": 1}], "total": 42}
TEXT = json.dumps(VALUE).encode()
POLL_S = 0.01

Batch = Callable[[list[str]], Awaitable[None]]
"""Does one operation on each of some keys, and returns when all are done."""


@dataclass(frozen=True)
class Contender:
    """What is measured."""

    name: str
    set: Batch
    get: Batch


async def run() -> None:
    """Measure everything on this machine, one after the other."""
    if shutil.which("redis-server") is None:
        print("state: redis-server is missing; run scripts/install-test-services as root")
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with _redis_server(directory) as url:
            heads = [f"{what}, {callers} at once" for callers in CALLERS for what in ("set", "get")]
            print(f"{f'per second, best of {REPEATS}':<28}" + "".join(f"{head:>18}" for head in heads))
            await _measure_bare_sqlite(directory / "bare.sqlite3")
            await _measure_state("state in SQLite", await SqliteStore.open(directory / "state.sqlite3"))
            await _measure_bare_redis(url)
            await _measure_state("state in Redis", await RedisStore.open(url, prefix="bench"), url)
            await _measure_state("state in memory", MemoryStore())


async def _measure(contender: Contender) -> None:
    keys = [f"order-{number}" for number in range(KEYS)]
    cells = []
    for callers in CALLERS:
        for operate in (contender.set, contender.get):
            rates = [await _rate(operate, keys, callers) for _ in range(REPEATS)]
            cells.append(f"{max(rates):>18,.0f}")
    print(f"{contender.name:<28}" + "".join(cells))


async def _rate(operate: Batch, keys: list[str], callers: int) -> float:
    done, began_s = 0, time.perf_counter()
    while time.perf_counter() - began_s < DURATION_S:
        await operate([keys[(done + offset) % KEYS] for offset in range(callers)])
        done += callers
    return done / (time.perf_counter() - began_s)


async def _measure_bare_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB)",
        ):
            connection.execute(statement)

        async def write(keys: list[str]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            for key in keys:
                connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (key, TEXT))
            connection.execute("COMMIT")

        async def read(keys: list[str]) -> None:
            for key in keys:
                connection.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()

        await _measure(Contender("bare SQLite", write, read))


async def _measure_bare_redis(url: str) -> None:
    async with Redis.from_url(url) as redis:

        async def write(keys: list[str]) -> None:
            pipeline = redis.pipeline(transaction=False)
            for key in keys:
                pipeline.set(key, TEXT)
            await pipeline.execute()

        async def read(keys: list[str]) -> None:
            pipeline = redis.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            await pipeline.execute()

        await _measure(Contender("bare Redis", write, read))


async def _measure_state(name: str, store: KeyValueStore, redis_url: str | None = None) -> None:
    broker = LocalBroker() if redis_url is None else await RedisBroker.open(redis_url, namespace="bench")
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        engine = Engine(
            spawn=spawn,
            new_id=lambda: "00000000-0000-0000-0000-000000000000",
        )
        State(store, broker, StateSettings()).register(engine)

        async def call(function_id: str, key: str, **fields: object) -> None:
            data = payload.encode({"scope": "orders", "key": key, **fields})
            (await engine.invoke(Call(function_id, data))).unwrap()

        async def write(keys: list[str]) -> None:
            await asyncio.gather(*(call("state::set", key, value=VALUE) for key in keys))

        async def read(keys: list[str]) -> None:
            await asyncio.gather(*(call("state::get", key) for key in keys))

        await _measure(Contender(name, write, read))
    await broker.close()
    await store.close()


@asynccontextmanager
async def _redis_server(directory: Path) -> AsyncIterator[str]:
    """Run a server of our own that keeps nothing on disk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(10), Redis.from_url(url) as redis:
            while not await _answers(redis):  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(POLL_S)
        yield url
    finally:
        process.kill()
        await process.wait()


async def _answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except RedisConnectionError:
        return False


if __name__ == "__main__":
    asyncio.run(run())
