from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.stream.running_bridge import Bridge, running_bridge


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    async with running_bridge(tmp_path) as bridge:
        yield bridge
