"""What tests of payloads share: a server that speaks S3, and a bucket of the test's own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.bucket import Bucket, bucket_server, new_bucket


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bucket_url() -> AsyncIterator[str]:
    """The one S3 server of the run."""
    async with bucket_server() as url:
        yield url


@pytest.fixture
async def bucket(bucket_url: str) -> AsyncIterator[Bucket]:
    async with new_bucket(bucket_url) as made:
        yield made


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 1},
        "lines": {"type": "fifo", "message_group_field": "group", "max_retries": 2, "backoff_ms": 1},
    }
