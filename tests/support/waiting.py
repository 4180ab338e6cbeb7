"""Waiting for what no event tells about, without bare sleeps in tests."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

POLL_S = 0.02

PATIENCE_S = 60
"""How long a test waits for what must come. It only ends a run that is broken: a machine may be busy."""


@overload
async def eventually(predicate: Callable[[], Awaitable[T | None]], timeout_s: float = PATIENCE_S) -> T: ...
@overload
async def eventually(predicate: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T: ...
async def eventually(predicate: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Return the first truthy answer of a predicate, which may be a coroutine function.

    Raises:
        AssertionError: It stayed falsy; the text has its last answer.
    """
    answer: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = predicate()
                answer = await found if inspect.isawaitable(found) else found
                if answer:
                    return answer
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s} s; last answer: {answer!r}") from None
