"""SDK clients as processes, whatever they are written in."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conformance.sdk_worker import Sdk, SdkWorker, offered
from tests.integration.worker_socket.live import LiveBridge

__all__ = ["running_client"]


@asynccontextmanager
async def running_client(
    sdk: Sdk,
    bridge: LiveBridge,
    name: str,
    command: Sequence[str | Path],
    *,
    last_function: str = "temporary",
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[SdkWorker]:
    """Run a client until the block is left; it is entered when all its functions are on offer.

    Args:
        sdk: What the client is built on.
        bridge: Where its functions are awaited.
        name: What it calls itself, and its functions begin with.
        command: What starts it.
        last_function: What it registers last.
        environment: Variables it has beside the test's own, which lack those that configure an SDK.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith(("III_", "OTEL_"))}
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=own | dict(environment or {}),
            )
        try:
            await offered(bridge, f"{name}::{last_function}", output_of=log.read_text)
            yield SdkWorker(sdk, bridge, name)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
