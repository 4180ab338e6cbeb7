"""Histories of every released version replay on this one: workflows in flight survive an upgrade."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

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
    kinds = {"chain", "lane", "dead", "cron", "bulk", "dedupe", "alarm", "crowded", "annex", "topic"}
    assert recorded == kinds


async def test_a_history_that_this_code_would_not_make_is_noticed() -> None:
    told = json.loads((FOLDER / "0.1.0" / "chain_of_one_step.json").read_text())
    (scheduled,) = [
        event["activityTaskScheduledEventAttributes"]
        for event in told["events"]
        if "activityTaskScheduledEventAttributes" in event
    ]
    scheduled["activityType"]["name"] = "another"
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=sandbox())
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(WorkflowHistory.from_json("changed", json.dumps(told)))
