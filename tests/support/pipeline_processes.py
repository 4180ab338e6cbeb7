"""The processes of an order pipeline, each of which a test may kill and start again at the same address."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import yaml

from bridge.temporal.dev_server import DevServerSettings, start_command
from tests.conformance.sdk_install import node_executable, node_sdk, python_sdk

__all__ = [
    "ORDER_EXAMPLE",
    "PROGRAM",
    "BridgeProcess",
    "Process",
    "TemporalProcess",
    "WorkerProcess",
    "free_port",
]

ORDER_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "order_fulfillment"
PROGRAM = str(Path(sysconfig.get_path("scripts")) / "iii-temporal")
IS_UP_WITHIN_S = 120
STOPS_WITHIN_S = 30
POLL_S = 0.02
# Without it the server fires no timer sooner than after one second, which would slow every retry down.
EXACT_TIMERS = ("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"')


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A program that tells in its own output when it works.

    Args:
        command: The program and its arguments.
        directory: Where it runs, and keeps what it printed in `<name>.log`.
        name: What it is, in messages.
        environ: Variables besides the test's own.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, name: str, environ: dict[str, str] | None = None
    ) -> None:
        self._command = command
        self._directory = directory
        self._name = name
        self._environ = os.environ | (environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._output_begins = 0
        self.log_file = directory / f"{name}.log"

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._output_begins = log.tell()
            self._process = self._spawn(log)

    def _spawn(self, log: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def kill(self) -> None:
        """End it as kill -9 does: it gets no chance to do anything. What has ended or never ran stays so."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def signal_until_ended(self, number: signal.Signals) -> int:
        """Send a signal again and again, as an impatient person does, and return the exit code."""
        deadline_s = time.monotonic() + STOPS_WITHIN_S
        while time.monotonic() < deadline_s and self._is_running:
            self.send_signal(number)
            time.sleep(POLL_S)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        assert self._process is not None
        return self._process.wait(STOPS_WITHIN_S)

    def wait_for_line(self, part: str) -> str:
        """Wait until it has printed a line that contains a text since its last start; return that line."""
        deadline_s = time.monotonic() + IS_UP_WITHIN_S
        while time.monotonic() < deadline_s and self._is_running:
            for line in self.output().splitlines():
                if part in line:
                    return line
            time.sleep(POLL_S)
        raise AssertionError(f"{self._name} printed no line with {part!r}:\n{self.output()}")

    def wait_for_port(self, port: int) -> None:
        """Wait until it accepts connections."""
        deadline_s = time.monotonic() + IS_UP_WITHIN_S
        while time.monotonic() < deadline_s and self._is_running:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(POLL_S)
        raise AssertionError(f"{self._name} does not listen on port {port}:\n{self.output()}")

    def output(self) -> str:
        """Return what it has printed since its last start."""
        return self.log_file.read_bytes()[self._output_begins :].decode(errors="replace")

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None


class TemporalProcess(Process):
    """A Temporal dev server that keeps its workflows in a file."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        settings = DevServerSettings(
            port=self.port, ui_port=0, database=directory / "temporal.db", has_ui=False
        )
        super().__init__([*start_command(settings), *EXACT_TIMERS], directory, "temporal")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        super().start()
        self.wait_for_port(self.port)


class BridgeProcess(Process):
    """`iii-temporal serve`, with a configuration of the test's own.

    Args:
        directory: Where it keeps its state.
        temporal_address: Temporal's frontend.
        config: The configuration's blocks by name.
    """

    def __init__(self, directory: Path, temporal_address: str, config: dict[str, object]) -> None:
        path = directory / "iii-config.yaml"
        path.write_text(
            yaml.safe_dump({"workers": [{"name": name, "config": block} for name, block in config.items()]})
        )
        super().__init__([PROGRAM, "serve", "--temporal-address", temporal_address], directory, "bridge")
        self.addresses: dict[str, str] = {}

    def start(self) -> None:
        super().start()
        ready = self.wait_for_line("ready workers=")
        self.addresses = dict(part.split("=", maxsplit=1) for part in ready.split()[1:])


class WorkerProcess(Process):
    """The order pipeline's worker on one version of an SDK.

    Args:
        runtime: `python` or `node`.
        version: The SDK's version.
        directory: Where it runs.
        url: The bridge's worker socket.
    """

    def __init__(self, runtime: str, version: str, directory: Path, url: str) -> None:
        command = _python(version) if runtime == "python" else _node(version, directory)
        super().__init__(command, directory, "worker", {"III_URL": url, "PYTHONWARNINGS": "default"})

    def start(self) -> None:
        super().start()
        self.wait_for_line("worker ready")


def _python(version: str) -> list[str]:
    return [str(python_sdk(version)), str(ORDER_EXAMPLE / "worker.py")]


def _node(version: str, directory: Path) -> list[str]:
    # Node resolves imports from the script's own place, hence the copy beside the version's node_modules.
    modules = directory / "node_modules"
    if not modules.exists():
        modules.symlink_to(node_sdk(version) / "node_modules")
    script = Path(shutil.copy(ORDER_EXAMPLE / "worker.mjs", directory))
    return [str(node_executable()), str(script)]
