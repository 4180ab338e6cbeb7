"""One command as a process group of its own, whose output goes on line by line, with a prefix."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

import structlog

__all__ = ["CommandProcess", "Output"]

log = structlog.get_logger("bridge.exec")

Output = Callable[[str], None]
"""Takes one line, without its end."""

_LINE_LIMIT_BYTES = 64 * 1024
_OUTPUT_GRACE_S = 1.0
"""How long output may go on after the command itself has ended: a child may have kept the pipe."""


class CommandProcess:
    """A running command.

    Use `start` to make one.
    """

    def __init__(self, process: asyncio.subprocess.Process, output: Output) -> None:
        self._process = process
        self._reading = asyncio.create_task(_pass_on(process.stdout, output), name=f"output of {process.pid}")

    @classmethod
    async def start(cls, command: str, output: Output) -> "CommandProcess":
        """Run a command with `sh -c`, in the bridge's directory and environment.

        Raises:
            OSError: The system cannot start a process.
        """
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=_LINE_LIMIT_BYTES,
        )
        return cls(process, output)

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the command to end; what it leaves running in its group is killed.

        Returns:
            The exit code; negative is the signal that ended it.

        Cancellation: safe; the command runs on.
        """
        code = await self._process.wait()
        self._signal_group(signal.SIGKILL)
        await asyncio.wait((self._reading,), timeout=_OUTPUT_GRACE_S)
        self._reading.cancel()
        return code

    async def stop(self, timeout_s: float) -> None:
        """End the whole group: politely, and by force after a time. Stopping again does nothing.

        Args:
            timeout_s: How long it may take to end; 0 is by force at once.

        Cancellation: the group is killed.
        """
        try:
            if timeout_s and self._process.returncode is None:
                self._signal_group(signal.SIGTERM)
                async with asyncio.timeout(timeout_s):
                    await self._process.wait()
        except TimeoutError:
            log.warning("process did not end in time and is killed", pid=self.pid, timeout_s=timeout_s)
        finally:
            self._signal_group(signal.SIGKILL)
        await self.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def _pass_on(stream: asyncio.StreamReader | None, output: Output) -> None:
    """Pass output on line by line; a line that is too long is passed on in pieces."""
    if stream is None:
        return
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.LimitOverrunError as exc:
            line = await stream.read(exc.consumed)
        except asyncio.IncompleteReadError as exc:
            if exc.partial:
                output(_text(exc.partial))
            return
        output(_text(line))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
