"""A bridge as a process: signals, the ready line, the exit code."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog
import uvloop

from bridge.app import Addresses, Bridge
from bridge.cli.errors import exit_code, report
from bridge.config import BridgeConfig
from bridge.errors import BridgeError
from bridge.listeners.open_files import raise_open_file_limit

__all__ = ["announce", "leave", "run_to_the_end", "serve_until", "stop_requested"]

log = structlog.get_logger("bridge.cli")

_SECOND_SIGNAL_EXIT = 130
_SAME_REQUEST_S = 0.3


def run_to_the_end(main: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a command and end the process with its exit code, or with its error's."""
    try:
        code = uvloop.run(main)
    except BridgeError as exc:
        report(exc)
        code = exit_code(exc)
    leave(code)


def leave(code: int) -> NoReturn:
    """Flush and end the process without tearing the interpreter down.

    Temporal's native threads may abort the process while the interpreter ends (temporalio issue 300).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def stop_requested() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second signal ends the process at once.

    Wrappers such as `timeout` deliver one request twice, to the process and to its group, so a signal that
    follows the first immediately is the same request.
    """
    requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    ignored_until_s = 0.0

    def on_signal() -> None:
        nonlocal ignored_until_s
        if not requested.is_set():
            log.info("stopping; a second signal ends the process at once")
            ignored_until_s = loop.time() + _SAME_REQUEST_S
            requested.set()
        elif loop.time() > ignored_until_s:
            leave(_SECOND_SIGNAL_EXIT)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return requested


async def serve_until(
    requested: asyncio.Event,
    config: BridgeConfig,
    load: Callable[[Path | None], BridgeConfig],
    ready: "asyncio.Future[Addresses]",
) -> None:
    """Serve until a stop is requested, then stop in order. A changed file, and SIGHUP, load the file again.

    Args:
        requested: Set to stop.
        config: What to serve.
        load: Loads the configuration again, from its file.
        ready: Settled once everything works.

    Raises:
        BridgeError: The bridge could not start.
    """
    for warning in config.warnings:
        log.warning(warning)
    raise_open_file_limit()
    bridge = Bridge(config, partial(load, config.source))
    if sys.stdin is None or not sys.stdin.isatty():  # in a terminal it says that the terminal is gone
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, bridge.reload)
    running = asyncio.ensure_future(bridge.run())
    stopping = asyncio.ensure_future(requested.wait())
    bridge.ready.add_done_callback(
        lambda done: None if done.cancelled() or ready.done() else ready.set_result(done.result())
    )
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        bridge.stop()
        await running


def announce(addresses: Addresses) -> None:
    """Print the line that tells a wrapper, and a person, that everything works and where."""
    parts = {
        "workers": ",".join(addresses.workers),
        "http": addresses.http,
        "stream": addresses.stream,
        "admin": addresses.admin,
        "temporal": addresses.temporal,
        "ui": addresses.ui,
    }
    click.echo("ready " + " ".join(f"{name}={value}" for name, value in parts.items() if value))
