"""Handlers that several tests need."""

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.support.fake_sdk import CallFailed, Delivered


async def succeed(_: Delivered) -> None:
    """Do nothing, well."""


async def never_answer(_: Delivered) -> None:
    """Hang until the worker leaves."""
    await asyncio.Event().wait()


class Failing:
    """Fails a number of times and then succeeds; records what it was given.

    Args:
        times: How often to fail; `None` always.
    """

    def __init__(self, times: int | None = None, code: str = "invocation_failed", text: str = "boom") -> None:
        self.times = times
        self.error = CallFailed(code, text, "Traceback: in the handler")
        self.calls: list[Delivered] = []

    async def __call__(self, call: Delivered) -> str:
        self.calls.append(call)
        if self.times is None or len(self.calls) <= self.times:
            raise self.error
        return "done"

    @property
    def attempts(self) -> list[int]:
        """The attempt numbers that the handler was told."""
        return [call.durable["attempt"] for call in self.calls]


class Gate:
    """Lets a handler begin, tells the test, and goes on when told; an attempt at a time or all at once."""

    def __init__(self) -> None:
        self.begun: list[Delivered] = []
        self.opened = asyncio.Event()

    async def __call__(self, call: Delivered) -> str:
        self.begun.append(call)
        await self.opened.wait()
        return "done"

    def open(self) -> None:
        self.opened.set()


class Recording:
    """Notes the payloads in the order in which handlers get them."""

    def __init__(self) -> None:
        self.payloads: list[Any] = []

    async def __call__(self, call: Delivered) -> None:
        self.payloads.append(call.data)

    def of(self, key: str) -> list[Any]:
        return [payload[key] for payload in self.payloads]


def numbered(count: int, **common: Any) -> Iterable[dict[str, Any]]:
    """Yield payloads that differ in `n`."""
    return ({**common, "n": n} for n in range(count))
