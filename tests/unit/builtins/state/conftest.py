from collections.abc import AsyncIterator

import pytest

from bridge.builtins.state import State, StateSettings
from bridge.storage import LocalBroker, MemoryStore
from tests.unit.builtins.state.engine_harness import EngineHarness


@pytest.fixture
async def harness() -> AsyncIterator[EngineHarness]:
    """An engine that serves state from memory with the settings of a configuration without any."""
    harness = EngineHarness()
    State(MemoryStore(), LocalBroker(), StateSettings()).register(harness.engine)
    yield harness
    await harness.aclose()
