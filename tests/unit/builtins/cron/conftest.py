from collections.abc import AsyncIterator

import pytest

from tests.unit.builtins.cron.cron_harness import CronHarness


@pytest.fixture
async def harness() -> AsyncIterator[CronHarness]:
    """An engine with the cron trigger, whose schedules are in memory."""
    harness = CronHarness()
    yield harness
    await harness.aclose()
