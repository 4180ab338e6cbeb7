"""A bridge as a process of its own, to be killed as the kernel kills."""

import asyncio
import os
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import PATIENCE_S

PROGRAM = Path(sysconfig.get_path("scripts")) / "iii-temporal"


@dataclass
class BridgeProcess:
    """A bridge that has said that it is ready."""

    process: asyncio.subprocess.Process
    worker_url: str
    admin_url: str

    async def stop(self) -> None:
        """End it as an orchestrator does, and wait until it has."""
        self.process.terminate()
        assert await self.process.wait() == 0

    async def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def bridge_process(
    config: Path, *, program: Sequence[str] = (str(PROGRAM),), environ: Mapping[str, str] | None = None
) -> AsyncIterator[BridgeProcess]:
    """Run `iii-temporal serve`, of this checkout by default; what still runs afterwards is stopped."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("III_", "TEMPORAL_"))}
    process = await asyncio.create_subprocess_exec(
        *program,
        *("serve", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
        env=own | dict(environ or {}),
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            addresses = await _addresses(process)
        yield BridgeProcess(process, addresses["workers"], addresses["admin"])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _addresses(process: asyncio.subprocess.Process) -> dict[str, str]:
    assert process.stdout is not None
    async for line in process.stdout:
        words = line.decode().split()
        if words[:1] == ["ready"]:
            return dict(word.split("=", maxsplit=1) for word in words[1:])
    raise AssertionError(f"the bridge ended with {await process.wait()} before it was ready")
