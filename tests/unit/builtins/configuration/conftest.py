from collections.abc import AsyncIterator

import pytest

from tests.unit.builtins.configuration.harness import ConfigurationHarness


@pytest.fixture
async def harness() -> AsyncIterator[ConfigurationHarness]:
    """An engine that serves configuration from memory, with an environment of its own."""
    harness = ConfigurationHarness()
    yield harness
    await harness.aclose()
