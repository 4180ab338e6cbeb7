"""The real Python SDK in the process of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iii import InitOptions, register_worker
from iii.iii import III


@asynccontextmanager
async def python_worker(url: str) -> AsyncIterator[III]:
    """Run a worker, in a thread of its own, until the block is left."""
    options = InitOptions(worker_name="test", otel={"enabled": False}, enable_metrics_reporting=False)
    worker = await asyncio.to_thread(register_worker, url, options)
    try:
        yield worker
    finally:
        await asyncio.to_thread(worker.shutdown)
        worker._loop.close()  # the SDK stops its loop and leaves it open
