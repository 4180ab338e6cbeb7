"""Histories of every released version replay on this one: workflows in flight survive an upgrade."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from bridge.temporal.workers import WORKFLOWS, sandbox

FOLDER = Path(__file__).parent / "histories"
HISTORIES = {
    f"{path.parent.name}/{path.stem}": WorkflowHistory.from_json(path.stem, path.read_text())
    for path in sorted(FOLDER.glob("*/*.json"))
}


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_recorded_history_replays(name: str) -> None:
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=sandbox())
    await replayer.replay_workflow(HISTORIES[name])


def test_every_workflow_has_a_recorded_history() -> None:
    recorded = {history.workflow_id.partition("_")[0] for history in HISTORIES.values()}
    assert recorded == {"chain", "lane", "dead", "cron"}
