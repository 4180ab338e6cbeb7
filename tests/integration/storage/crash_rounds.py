"""Kill -9 in the middle of writes, again and again: what was acknowledged is there afterwards.

A bridge runs as a process of its own. Each round lets workers write to its state, kills it after a random
number of acknowledged writes, starts it again and compares every entry with what its writer was told. With
Redis, the server is killed as well in every second round or so.

`python -m tests.integration.storage.crash_rounds --rounds 100` runs many rounds. Its seed repeats the
choices, not the instants.
"""

import argparse
import asyncio
import itertools
import json
import random
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.integration.storage.redis_server import RedisServer, redis_server
from tests.support.fake_sdk import CallFailed, FakeSdk, connected
from tests.support.waiting import PATIENCE_S, eventually

REPOSITORY = Path(__file__).parents[3]
SERVE = "from bridge.cli import main; main()"
WRITERS = [f"writer-{number}" for number in range(16)]
MAX_WRITES_PER_ROUND = 600
MAX_DELAY_S = 0.005
SHARE_OF_SERVER_KILLS = 0.5
WRITE_TIMEOUT_S = 60
SCOPE = "crash"
COUNTER = {"scope": SCOPE, "key": "counter"}

Value = dict[str, Any] | None


class LostWriteError(AssertionError):
    """An acknowledged write is not there after the crash."""


@dataclass
class Ledger:
    """What the writers were told.

    Attributes:
        acknowledged: The last acknowledged value of each writer's entry.
        in_doubt: What a write that got no answer would have made of it.
        increments: Acknowledged increments of the counter that all writers share.
        doubtful_increments: Increments that got no answer.
    """

    acknowledged: dict[str, Value]
    in_doubt: dict[str, Value] = field(default_factory=dict)
    increments: int = 0
    doubtful_increments: int = 0
    writes: int = 0
    goal: int = 0
    is_goal_reached: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, writes: int) -> None:
        """Set the goal: so many acknowledged writes more."""
        self.goal = self.writes + writes
        self.is_goal_reached.clear()

    def note_write(self) -> None:
        self.writes += 1
        if self.writes >= self.goal:
            self.is_goal_reached.set()

    async def settle(self, sdk: FakeSdk) -> None:
        """Compare with what is there, and take it for what every write in doubt came to.

        Raises:
            LostWriteError: Something is there that no writer can have left.
        """
        for key, acknowledged in self.acknowledged.items():
            found = await sdk.trigger("state::get", {"scope": SCOPE, "key": key})
            allowed = [acknowledged, *([self.in_doubt[key]] if key in self.in_doubt else [])]
            if found not in allowed:
                raise LostWriteError(f"{key} holds {found}; its writer allows only {allowed}")
            self.acknowledged[key] = found
        count = (await sdk.trigger("state::get", COUNTER) or {"n": 0})["n"]
        if not self.increments <= count <= self.increments + self.doubtful_increments:
            raise LostWriteError(
                f"the counter is {count} after {self.increments} acknowledged increments "
                f"and {self.doubtful_increments} without an answer"
            )
        self.in_doubt.clear()
        self.increments, self.doubtful_increments = count, 0


class Writer:
    """Writes to an entry of its own and to the counter of all, until the bridge is gone."""

    def __init__(self, name: str, ledger: Ledger, numbers: Iterator[int], dice: random.Random) -> None:
        self._name = name
        self._ledger = ledger
        self._numbers = numbers
        self._dice = dice

    async def run(self, sdk: FakeSdk) -> None:
        try:
            while True:
                await self._dice.choice((self._set, self._update, self._delete, self._count))(sdk)
        except (CallFailed, ConnectionClosed, TimeoutError):
            return  # killed; the ledger knows what is in doubt

    async def _set(self, sdk: FakeSdk) -> None:
        number = next(self._numbers)
        value = {"n": number, "text": "x" * self._dice.randrange(2000)}
        await self._write(sdk, "state::set", value, value=value)

    async def _update(self, sdk: FakeSdk) -> None:
        number = next(self._numbers)
        value = {**(self._ledger.acknowledged.get(self._name) or {}), "u": number}
        await self._write(sdk, "state::update", value, ops=[{"type": "set", "path": "u", "value": number}])

    async def _delete(self, sdk: FakeSdk) -> None:
        await self._write(sdk, "state::delete", None)

    async def _write(self, sdk: FakeSdk, function_id: str, becomes: Value, **fields: Any) -> None:
        self._ledger.in_doubt[self._name] = becomes
        await sdk.trigger(function_id, {"scope": SCOPE, "key": self._name, **fields})
        self._ledger.acknowledged[self._name] = becomes
        del self._ledger.in_doubt[self._name]
        self._ledger.note_write()

    async def _count(self, sdk: FakeSdk) -> None:
        self._ledger.doubtful_increments += 1
        await sdk.trigger("state::update", {**COUNTER, "ops": [{"type": "increment", "path": "n", "by": 1}]})
        self._ledger.doubtful_increments -= 1
        self._ledger.increments += 1
        self._ledger.note_write()


@dataclass
class BridgeProcess:
    """A bridge that can be killed and started again on its port and its data."""

    config_path: Path
    port: int
    _process: Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVE, "serve", "--config", str(self.config_path)),
            cwd=REPOSITORY,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        await eventually(self._listens, timeout_s=PATIENCE_S)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, "the bridge ended at once"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


@dataclass
class Site:
    """What can be killed."""

    bridge: BridgeProcess
    redis: RedisServer | None

    async def start(self) -> None:
        if self.redis is not None and not self.redis.is_running:
            await self.redis.start()
        await self.bridge.start()

    async def kill_something(self, dice: random.Random) -> None:
        """Kill the bridge; with Redis, the server before it in some rounds."""
        await asyncio.sleep(dice.uniform(0, MAX_DELAY_S))  # somewhere in the middle of a commit
        if self.redis is not None and dice.random() < SHARE_OF_SERVER_KILLS:
            await self.redis.kill()
        await self.bridge.kill()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[FakeSdk]:
        async with connected(f"ws://127.0.0.1:{self.bridge.port}") as sdk:
            yield sdk


@asynccontextmanager
async def site(directory: Path, adapter: str) -> AsyncIterator[Site]:
    """Set up a bridge that keeps its state in a `file`, in `redis` or in `memory`; it is not started yet."""
    async with AsyncExitStack() as exits:
        redis = None
        written: dict[str, Any] = {"name": "kv", "config": {"store_method": "in_memory"}}
        if adapter == "file":
            written["config"] = {"store_method": "file_based", "file_path": str(directory / "state")}
        elif adapter == "redis":
            redis = await exits.enter_async_context(redis_server(directory, durable=True))
            written = {"name": "redis", "config": {"redis_url": redis.url}}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        path = write_config(directory, port, written)
        bridge = BridgeProcess(path, port)
        exits.push_async_callback(bridge.kill)
        yield Site(bridge, redis)


def write_config(directory: Path, port: int, adapter: dict[str, Any]) -> Path:
    path = directory / "iii-config.yaml"
    blocks = [
        {"name": "iii-temporal", "config": {"address": "127.0.0.1:1", "admin": {"port": 0}}},  # not needed
        {"name": "iii-worker-manager", "config": {"port": port}},
        {"name": "iii-state", "config": {"adapter": adapter}},
    ]
    path.write_text(json.dumps({"workers": blocks}))  # JSON is YAML
    return path


async def write_until_killed(site: Site, ledger: Ledger, dice: random.Random, numbers: Iterator[int]) -> None:
    """Let everybody write, and kill after a random number of acknowledged writes."""
    ledger.expect(dice.randint(1, MAX_WRITES_PER_ROUND))
    async with AsyncExitStack() as exits, asyncio.TaskGroup() as tasks:
        for name in WRITERS:
            sdk = await exits.enter_async_context(site.worker())
            writer = Writer(name, ledger, numbers, random.Random(dice.random()))
            tasks.create_task(writer.run(sdk), name=name)
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await ledger.is_goal_reached.wait()
        await site.kill_something(dice)


async def run_rounds(directory: Path, adapter: str, rounds: int, seed: int) -> Ledger:
    """Run rounds and return the ledger.

    Raises:
        LostWriteError: An acknowledged write was lost; the text names round and seed.
    """
    dice, numbers = random.Random(seed), itertools.count()
    ledger = Ledger(dict.fromkeys(WRITERS))
    async with site(directory, adapter) as crashing:
        await crashing.start()
        for number in range(1, rounds + 1):
            await write_until_killed(crashing, ledger, dice, numbers)
            await crashing.start()
            async with crashing.worker() as sdk:
                try:
                    await ledger.settle(sdk)
                except LostWriteError as exc:
                    raise LostWriteError(f"{adapter}, round {number}, seed {seed}: {exc}") from None
    return ledger


def main() -> None:
    """Run rounds with every adapter that keeps data, and say how much survived."""
    parser = argparse.ArgumentParser(
        description="Kill -9 bridges in the middle of writes and look for losses."
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--adapter", choices=("file", "redis"), action="append")
    options = parser.parse_args()
    for adapter in options.adapter or ("file", "redis"):
        print(f"{adapter}: {options.rounds} rounds with seed {options.seed}", flush=True)  # noqa: T201
        with tempfile.TemporaryDirectory() as directory:
            ledger = asyncio.run(run_rounds(Path(directory), adapter, options.rounds, options.seed))
        print(f"{adapter}: {ledger.writes} acknowledged writes, none lost")  # noqa: T201


if __name__ == "__main__":
    main()
