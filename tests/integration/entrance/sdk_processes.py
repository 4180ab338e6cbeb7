"""Real SDK clients as processes, which learn how to get in from their environment."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conformance.sdk_install import node_executable, node_sdk
from tests.support.fake_sdk import CallFailed, FakeSdk
from tests.support.waiting import PATIENCE_S, eventually

HERE = Path(__file__).parent


async def command(runtime: str, scratch: Path) -> list[str]:
    """Return what runs the client of a runtime."""
    if runtime == "python":
        return [sys.executable, str(HERE / "client.py")]
    (scratch / "node_modules").symlink_to(await asyncio.to_thread(node_sdk, "0.22.1") / "node_modules")
    program = scratch / "client.mjs"
    program.write_text((HERE / "client.mjs").read_text())
    return [str(await asyncio.to_thread(node_executable)), str(program)]


@asynccontextmanager
async def sdk_client(
    runtime: str, url: str, environment: dict[str, str], scratch: Path, *, caller: FakeSdk
) -> AsyncIterator[None]:
    """Run a client; entered when the caller reaches its function."""
    process = await asyncio.create_subprocess_exec(
        *await command(runtime, scratch),
        url,
        stdin=asyncio.subprocess.PIPE,
        env={"OTEL_ENABLED": "false", **environment},
    )

    async def answers() -> bool:
        try:
            return bool(await caller.trigger(f"{runtime}::echo", {"n": 7}) == {"echo": 7})
        except CallFailed:
            return False

    try:
        await eventually(answers, PATIENCE_S)
        yield
    finally:
        process.kill()
        await process.communicate()
