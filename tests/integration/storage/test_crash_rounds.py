from pathlib import Path

import pytest

from tests.integration.storage.crash_rounds import LostWriteError, run_rounds

ROUNDS = 2  # python -m tests.integration.storage.crash_rounds runs a hundred


@pytest.mark.parametrize("adapter", ["file", "redis"])
async def test_acknowledged_writes_survive_kill_9(adapter: str, tmp_path: Path) -> None:
    ledger = await run_rounds(tmp_path, adapter, ROUNDS, seed=17)
    assert ledger.writes > 0


async def test_the_rounds_notice_a_loss(tmp_path: Path) -> None:
    with pytest.raises(LostWriteError):
        await run_rounds(tmp_path, "memory", rounds=1, seed=17)
