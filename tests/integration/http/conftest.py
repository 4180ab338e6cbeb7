"""Bridges for the tests of one module."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bridge.builtins.http import HttpSettings
from tests.integration.http.running_bridge import Bridge, running_bridge

MakeBridge = Callable[..., Awaitable[Bridge]]


@pytest.fixture
async def make_bridge() -> AsyncIterator[MakeBridge]:
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Bridge:
            return await stack.enter_async_context(running_bridge(HttpSettings(**({"port": 0} | settings))))

        yield make


@pytest.fixture
async def bridge(make_bridge: MakeBridge) -> Bridge:
    return await make_bridge()
