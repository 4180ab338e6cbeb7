"""Real SDK clients as subprocesses, driven by calls of the functions they offer."""

import asyncio
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.engine.calls import Call, Job
from bridge.engine.workers import Worker
from bridge.protocol import payload
from tests.conformance.sdk_install import node_executable, node_sdk, python_sdk
from tests.integration.worker_socket.live import LiveBridge
from tests.support.waiting import PATIENCE_S

__all__ = ["SDKS", "Program", "Receipts", "Sdk", "SdkWorker", "running_program", "running_worker"]

CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True)
class Sdk:
    """A version of an SDK."""

    runtime: str
    version: str

    @property
    def generation(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split(".")[:2])

    @property
    def is_python(self) -> bool:
        return self.runtime == "python"

    @property
    def takes_large_messages(self) -> bool:
        """Tell whether the SDK survives more than 1 MiB (spec 01 §1.5)."""
        return not self.is_python or self.generation >= (0, 25)

    def __str__(self) -> str:
        return f"{self.runtime}-{self.version}"


SDKS = [
    *(Sdk("python", version) for version in ("0.9.0", "0.11.6", "0.22.1", "0.25.0")),
    *(Sdk("node", version) for version in ("0.9.0", "0.11.6", "0.22.1")),
]


class Receipts:
    """Stands for the queues: notes every message and gives a receipt for it."""

    def __init__(self) -> None:
        self.accepted: list[tuple[Call, str]] = []

    async def enqueue(self, call: Call, queue: str) -> str:
        self.accepted.append((call, queue))
        return str(uuid.UUID(int=len(self.accepted)))

    def take(self) -> list[tuple[Call, str]]:
        taken, self.accepted = self.accepted, []
        return taken


class SdkWorker:
    """A running client of one SDK version."""

    def __init__(
        self, sdk: Sdk, bridge: LiveBridge, name: str, output: Callable[[], str] = lambda: ""
    ) -> None:
        self.sdk = sdk
        self.bridge = bridge
        self.name = name
        self.output = output

    @property
    def worker(self) -> Worker:
        """The connection as the engine knows it now."""
        (found,) = [each for each in self.bridge.engine.workers.values() if each.info.name == self.name]
        return found

    async def run(self, function: str, data: Any = None, *, job: Job | None = None, **call: Any) -> Any:
        """Call one of the client's functions.

        Raises:
            FunctionFailedError: The function failed.
        """
        request = Call(
            f"{self.name}::{function}", payload.encode({} if data is None else data), job=job, **call
        )
        async with asyncio.timeout(PATIENCE_S):
            result = (await self.bridge.engine.invoke(request)).unwrap()
        return json.loads(bytes(result)) if bytes(result) else None

    async def bind(self, trigger: dict[str, Any]) -> None:
        """Have the client bind a trigger, and wait until it is in force: no SDK waits for that itself."""
        await self.run("bind", trigger)
        async with asyncio.timeout(PATIENCE_S):
            while not any(
                each.function_id == trigger["function_id"] for each in self.bridge.engine.triggers.bindings
            ):
                await self.run("nothing")

    async def noted(self, is_enough: Callable[[list[Any]], bool] = bool) -> list[Any]:
        """Wait until the client has noted enough, and return it."""
        found: list[Any] = []
        async with asyncio.timeout(PATIENCE_S):
            while not is_enough(found):
                found += await self.run("notes")
        return found

    async def until(self, condition: Callable[[Any], bool], function: str) -> Any:
        """Ask the client again and again until its answer fits."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(answer := await self.run(function)):
                pass
        return answer


@asynccontextmanager
async def running_worker(
    sdk: Sdk, bridge: LiveBridge, name: str, *options: str, namespace: str = "default"
) -> AsyncIterator[SdkWorker]:
    """Run a client until the block is left; it is entered when all its functions are on offer."""
    async with running_program(sdk, bridge.url, name, *options) as program:
        await offered(bridge, f"{name}::temporary", namespace, program.output)
        yield SdkWorker(sdk, bridge, name, program.output)


@dataclass(frozen=True)
class Program:
    """A client's process.

    Attributes:
        process: Which a test may kill.
        output: Tells what it has printed.
    """

    process: asyncio.subprocess.Process
    output: Callable[[], str]


@asynccontextmanager
async def running_program(sdk: Sdk, url: str, name: str, *options: str) -> AsyncIterator[Program]:
    """Run a client's process until the block is left; its functions may not be on offer yet."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        command = await asyncio.to_thread(_command, sdk, Path(scratch))
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                *(url, name, sdk.version, *options),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={k: v for k, v in os.environ.items() if not k.startswith(("III_", "OTEL_"))},
            )
        try:
            yield Program(process, log.read_text)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def offered(
    bridge: LiveBridge, function_id: str, namespace: str = "default", output_of: Callable[[], str] = str
) -> None:
    """Wait until a function is on offer.

    Raises:
        AssertionError: It took too long; the message has the client's output.
    """
    on_offer = asyncio.Event()

    def look(_: str) -> None:
        if bridge.engine.has_provider(function_id, namespace):
            on_offer.set()

    bridge.engine.on_function_offered.append(look)
    look(function_id)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await on_offer.wait()
    except TimeoutError as exc:
        text = f"{function_id} was not offered in {PATIENCE_S} s. {output_of()}"
        raise AssertionError(text) from exc
    finally:
        bridge.engine.on_function_offered.remove(look)


def _command(sdk: Sdk, scratch: Path) -> list[str]:
    if sdk.is_python:
        return [str(python_sdk(sdk.version)), str(CLIENTS / "worker.py")]
    # Node looks for packages beside the program, so the program is put beside the packages.
    program = scratch / "worker.mjs"
    shutil.copy(CLIENTS / "worker.mjs", program)
    (scratch / "node_modules").symlink_to(node_sdk(sdk.version) / "node_modules")
    return [str(node_executable()), str(program)]
