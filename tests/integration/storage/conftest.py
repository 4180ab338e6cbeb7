import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.storage.redis_server import RedisServer, redis_server

_prefixes = itertools.count()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """One server for all tests that leave it alone."""
    async with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server that a test may kill."""
    async with redis_server(tmp_path, durable=True) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """What nobody else's keys begin with."""
    return f"test-{next(_prefixes)}"
