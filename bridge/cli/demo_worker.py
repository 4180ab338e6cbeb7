"""The order pipeline's worker, as a process of its own with the real iii SDK."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bridge.errors import ConfigError, EngineError

__all__ = ["OrderWorker", "find_checkout", "run_worker"]

_EXAMPLE = Path("examples/order_fulfillment")
_READY_LINE = b"worker ready\n"
_READY_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 15  # the worker lets its handlers finish for 10 s
_SHOWN_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class OrderWorker:
    """A running worker.

    Attributes:
        log_file: Everything it prints.
        exited: Done when the process has ended, with its exit code.
    """

    log_file: Path
    exited: "asyncio.Task[int]"

    def check(self) -> None:
        """Raise if the worker is no longer there.

        Raises:
            EngineError: It ended by itself; the text has the end of its log.
        """
        if self.exited.done():
            lines = self.log_file.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
            raise EngineError(
                f"The worker ended by itself with exit code {self.exited.result()}. "
                f"The end of its log, {self.log_file}:\n" + "\n".join(lines)
            )


def find_checkout() -> Path:
    """Return the checkout that holds the example, once it is certain that the example can run.

    Raises:
        ConfigError: There is no checkout, or the iii SDK is not installed.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / _EXAMPLE / "worker.py").is_file():
        raise ConfigError(
            f"The demo runs {_EXAMPLE}/worker.py, which is in the repository and not in the installed "
            "package. Clone the repository and run `make run` there, or start `iii-temporal dev` and a "
            "worker of your own."
        )
    if importlib.util.find_spec("iii") is None:
        raise ConfigError(
            "The demo's worker needs the iii SDK for Python, which is not installed. "
            "Run `pip install 'iii-temporal[demo]'`, or `make install` in the repository."
        )
    return checkout


@asynccontextmanager
async def run_worker(checkout: Path, url: str, log_file: Path) -> AsyncIterator[OrderWorker]:
    """Run the worker while the body runs; the body begins when the bridge lists its functions.

    Args:
        checkout: Where the example is.
        url: The bridge's worker socket.
        log_file: Takes everything the worker prints.

    Raises:
        EngineError: The worker ended, or was not ready in time.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb", buffering=0) as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(checkout / _EXAMPLE / "worker.py"),
            env=os.environ | {"III_URL": url},
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        assert process.stdout is not None  # noqa: S101 - asked for above
        ready = asyncio.Event()
        worker = OrderWorker(log_file, asyncio.create_task(process.wait(), name="order worker"))
        copying = asyncio.create_task(_copy(process.stdout, log, ready), name="order worker's output")
        try:
            await _wait_until_ready(worker, ready)
            yield worker
        finally:
            await _stop(process, worker.exited)
            await copying


async def _copy(output: asyncio.StreamReader, log: BinaryIO, ready: asyncio.Event) -> None:
    async for line in output:
        log.write(line)
        if line == _READY_LINE:
            ready.set()


async def _wait_until_ready(worker: OrderWorker, ready: asyncio.Event) -> None:
    waiting = asyncio.create_task(ready.wait(), name="order worker ready")
    await asyncio.wait(
        (waiting, worker.exited), timeout=_READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
    )
    waiting.cancel()
    worker.check()
    if not ready.is_set():
        raise EngineError(
            f"The worker was not ready within {_READY_TIMEOUT_S} s; its log is {worker.log_file}."
        )


async def _stop(process: asyncio.subprocess.Process, exited: "asyncio.Task[int]") -> None:
    if exited.done():
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await asyncio.shield(exited)
    except TimeoutError:
        process.kill()
        await exited
