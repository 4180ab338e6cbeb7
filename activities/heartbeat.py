"""Tell Temporal that a long activity is alive."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from temporalio import activity

__all__ = ["heartbeating"]

_BEATS_PER_TIMEOUT = 3


@asynccontextmanager
async def heartbeating(details: Sequence[Any] = ()) -> AsyncIterator[None]:
    """Heartbeat three times per heartbeat timeout while the body runs.

    Args:
        details: What the next attempt will find in its heartbeat details.
    """
    timeout = activity.info().heartbeat_timeout

    async def beat() -> None:
        while True:
            activity.heartbeat(*details)
            await asyncio.sleep(timeout.total_seconds() / _BEATS_PER_TIMEOUT if timeout else 1)

    beats = asyncio.create_task(beat(), name=f"heartbeat {activity.info().activity_type}")
    try:
        yield
    finally:
        beats.cancel()
