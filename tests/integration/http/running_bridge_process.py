"""Starts `bridge_process` and stops it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.waiting import PATIENCE_S


@asynccontextmanager
async def bridge_process(**settings: Any) -> AsyncIterator[dict[str, str]]:
    """Run a bridge in a process of its own; gives its addresses."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.http.bridge_process",
        json.dumps(settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = await process.stdout.readline()
        yield json.loads(line)
    finally:
        process.kill()
        await process.communicate()
