"""The tasks of a bridge that nobody waits for."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from bridge.engine.engine import Spawn

__all__ = ["task_scope"]

log = structlog.get_logger("bridge.app")


@asynccontextmanager
async def task_scope() -> AsyncIterator[Spawn]:
    """Run what built-in functions start; what still runs when the scope ends is cancelled."""
    running: set[asyncio.Task[None]] = set()

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (reason := task.exception()):
            log.error("a task of the bridge failed", task=task.get_name(), exc_info=reason)

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        running.add(task)
        task.add_done_callback(ended)

    try:
        yield spawn
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
