from collections.abc import AsyncIterator

import pytest

from tests.integration.rbac.guarded import Guarded, guarded_bridge


@pytest.fixture
async def bridge() -> AsyncIterator[Guarded]:
    async with guarded_bridge() as guarded:
        yield guarded
