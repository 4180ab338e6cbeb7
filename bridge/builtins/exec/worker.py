"""The built-in worker `iii-exec`: processes that run as long as the bridge does (spec 05 §7)."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

import structlog

from bridge.builtins.exec.globs import WatchedFiles
from bridge.builtins.exec.process import CommandProcess, Output
from bridge.builtins.exec.settings import ExecSettings
from bridge.engine.engine import Spawn

__all__ = ["Exec"]

log = structlog.get_logger("bridge.exec")

_LOOK_EVERY_S = 0.5
_SHARE_OF_LOOKING = 0.1
"""The most of the time that is spent on looking: many files are looked at less often."""


class Exec:
    """Runs the commands of one block.

    All but the last run to their end in order; one that fails stops the rest. The last is left running and,
    when it ends, is started again after a pause that grows. (iii leaves it ended.) A change to a watched file
    kills what runs and begins again with the first command.

    Args:
        settings: What to run.
        spawn: Runs the block's task.
        name: What begins each line of output; `exec` and a number where there are several blocks.
        write: Takes the lines; by default standard output, so that they do not mix with the bridge's own log.
        clock_s: A clock that never goes back.
    """

    def __init__(
        self,
        settings: ExecSettings,
        spawn: Spawn,
        *,
        name: str,
        clock_s: Callable[[], float],
        write: Output | None = None,
    ) -> None:
        self._settings = settings
        self._spawn = spawn
        self._name = name
        self._clock_s = clock_s
        self._write = write or _print
        self._files = WatchedFiles(settings.watch)
        self._process: CommandProcess | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def start(self) -> None:
        """Begin with the first command."""
        self._spawn(self._run(), f"{self._name} commands")

    async def close(self) -> None:
        """End what runs, with its whole process group. Closing again does nothing.

        Cancellation: what runs is killed.
        """
        self._stopping.set()
        await self._ended.wait()

    async def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._run_until_changed()
                if not self._stopping.is_set():
                    await self._end(by_force=True)
        finally:
            await self._end(by_force=False)
            self._ended.set()

    async def _run_until_changed(self) -> None:
        """Run the pipeline until a watched file changes, or the bridge stops."""
        running = asyncio.create_task(self._pipeline(), name=f"{self._name} pipeline")
        try:
            await self._wait_for_change()
        finally:
            running.cancel()
            await asyncio.wait((running,))

    async def _wait_for_change(self) -> None:
        if not self._settings.watch:
            await self._stopping.wait()
            return
        before = await asyncio.to_thread(self._files.look)
        pause_s = _LOOK_EVERY_S
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            began_s = self._clock_s()
            now = await asyncio.to_thread(self._files.look)
            pause_s = max(_LOOK_EVERY_S, (self._clock_s() - began_s) / _SHARE_OF_LOOKING)
            if changed := {path for path, _ in before.items() ^ now.items()}:
                log.info("watched file changed; starting again", block=self._name, file=min(changed))
                return

    async def _end(self, *, by_force: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.stop(0 if by_force else self._settings.stop_timeout_s)

    async def _pipeline(self) -> None:
        if not self._settings.commands:
            return
        *steps, last = self._settings.commands
        for command in steps:
            if not await self._succeeds(command):
                return
        await self._keep_running(last)

    async def _succeeds(self, command: str) -> bool:
        process = await self._started(command)
        if process is None:
            return False
        code = await process.wait()
        self._process = None
        if code != 0:
            log.error(
                "command failed; the next ones are left out", block=self._name, command=command, code=code
            )
        return code == 0

    async def _keep_running(self, command: str) -> None:
        pause_s = self._settings.first_pause_s
        while True:
            began_s = self._clock_s()
            process = await self._started(command)
            code = await process.wait() if process else None
            self._process = None
            if self._clock_s() - began_s >= self._settings.steady_s:
                pause_s = self._settings.first_pause_s
            log.warning("command ended; starting it again", block=self._name, code=code, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._settings.longest_pause_s)

    async def _started(self, command: str) -> CommandProcess | None:
        try:
            self._process = await CommandProcess.start(command, self._put)
        except OSError as exc:
            log.error("command cannot be started", block=self._name, command=command, reason=str(exc))  # noqa: TRY400
            return None
        log.info("command started", block=self._name, command=command, pid=self._process.pid)
        return self._process

    def _put(self, line: str) -> None:
        self._write(f"[{self._name}] {line}")


def _print(line: str) -> None:
    with suppress(OSError):  # whoever read it is gone; the processes go on
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
