from pathlib import Path

import pytest

from tests.crash.run import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


async def test_the_promises_hold_while_everything_is_killed(tmp_path: Path) -> None:
    report = await run(tmp_path, seed=47, orders=40, kills=6)
    assert report.is_clean, str(report)
    assert report.counts["chains undone"] > 0
