"""Asking every namespace at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from bridge.errors import BridgeError

__all__ = ["ask_all", "find_first"]

Answer = TypeVar("Answer")


async def ask_all(questions: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Return every answer, in the order of the questions; the first error is raised.

    Cancellation: safe.
    """
    return await asyncio.gather(*questions)


async def find_first(looks: Iterable[Callable[[], Awaitable[Answer | None]]]) -> Answer | None:
    """Return what is found first; a look that fails counts only if no other one finds anything.

    Raises:
        BridgeError: Nothing was found, and somewhere it could not be looked for.

    Cancellation: safe.
    """
    failure: BridgeError | None = None

    async def look(one: Callable[[], Awaitable[Answer | None]]) -> Answer | None:
        nonlocal failure
        try:
            return await one()
        except BridgeError as exc:
            failure = failure or exc
            return None

    async with asyncio.TaskGroup() as tasks:
        looking = [tasks.create_task(look(one), name="look in a namespace of temporal") for one in looks]
        for done in asyncio.as_completed(looking):
            if (found := await done) is not None:
                for task in looking:
                    task.cancel()
                return found
    if failure is not None:
        raise failure
    return None
