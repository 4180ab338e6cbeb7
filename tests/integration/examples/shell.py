"""A terminal for examples: runs the commands of their READMEs, and reads what they print."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 45
SDK_NOISE = ("[OTel]", "[iii]")


@dataclass
class Shell:
    """A terminal in a copy of an example's directory.

    Attributes:
        directory: The copy.
        environ: What commands are given.
    """

    directory: Path
    environ: dict[str, str]

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a command until the block is left; its output is a pipe."""
        process = await asyncio.create_subprocess_shell(
            f"exec {command}",
            cwd=self.directory,
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()

    async def run(self, command: str) -> list[str]:
        """Run a command to its end, which must be good, and return what it printed."""
        async with self.running(command) as process, asyncio.timeout(LIMIT_S):
            output = await rest_of(process)
            assert process.returncode == 0, f"{command} ended with {process.returncode}: {output}"
            return output


async def rest_of(process: asyncio.subprocess.Process) -> list[str]:
    """Return the lines that a process prints until it ends, without those of the SDK."""
    output, _ = await process.communicate()
    return [line for line in output.decode().splitlines() if not line.startswith(SDK_NOISE)]


async def line_with(part: str, process: asyncio.subprocess.Process) -> str:
    """Read what a process prints up to a line that contains a text, and return that line."""
    assert process.stdout is not None
    async for line in process.stdout:
        if part in line.decode():
            return line.decode().strip()
    raise AssertionError(f"the process ended with {await process.wait()} and printed no line with {part!r}")


@dataclass
class RunningExample:
    """A terminal, and what `iii-temporal dev` started in another.

    Attributes:
        shell: The terminal.
        temporal_address: Where Temporal is.
        addresses: What the bridge said when it was ready, by name.
    """

    shell: Shell
    temporal_address: str
    addresses: dict[str, str]
