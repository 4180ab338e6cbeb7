from collections.abc import AsyncIterator

import pytest

from tests.unit.builtins.observability.harness import Harness


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    yield harness
    await harness.aclose()
