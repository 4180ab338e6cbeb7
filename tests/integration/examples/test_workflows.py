"""examples/workflows: what its README shows is what its users see."""

import re
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from bridge.config import load_config
from tests.integration.examples.shell import RunningExample, line_with, rest_of
from tests.support.node_script import SDK_VERSION

DIRECTORY = Path(__file__).parents[3] / "examples" / "workflows"
README = (DIRECTORY / "README.md").read_text(encoding="utf-8")
TIMERS_MAY_BE_EARLY_BY_MS = 10

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


def sessions() -> dict[str, str]:
    """Return the commands in the README, each with what it shows as their output."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part]
    return dict(part.strip().split("\n", maxsplit=1) for part in parts)


@pytest.mark.parametrize("command", sessions())
async def test_a_command_of_the_readme_prints_what_it_shows(workflows: RunningExample, command: str) -> None:
    shown = re.escape(sessions()[command]).replace("…", ".+?")
    printed = "\n".join(await workflows.shell.run(command))
    assert re.fullmatch(shown, printed), printed


async def test_retries_wait_as_their_queues_say(workflows: RunningExample) -> None:
    lines = await workflows.shell.run("node retry.mjs")
    waits = {line.split()[0]: [int(each) for each in line.split()[5:-2]] for line in lines}
    expected = {
        "retry-linear": [100, 200, 300],
        "retry-exponential": [100, 200, 400],
        "retry-capped": [100, 200, 200, 200],
    }
    assert waits.keys() == expected.keys()
    for queue, waits_ms in expected.items():
        for waited_ms, wait_ms in zip(waits[queue], waits_ms, strict=True):
            assert waited_ms >= wait_ms - TIMERS_MAY_BE_EARLY_BY_MS, f"{queue}: {waits}"
    # No test can say how long a wait was at most, so for the cap ask Temporal for the rule it was given.
    assert await longest_wait_ms(workflows, "retry-capped") == 200
    assert await longest_wait_ms(workflows, "retry-exponential") > 400


async def test_an_expense_is_paid_when_the_printed_command_approves_it(workflows: RunningExample) -> None:
    async with workflows.shell.running("python approval.py") as approval:
        command = await line_with("iii-temporal trigger", approval)
        assert "".join(await workflows.shell.run(command)).replace(" ", "") == '{"delivered":true}'
        assert await rest_of(approval) == [
            'expenses::request    completed  "asked the team lead"',
            'expenses::pay        completed  "paid 250, approved by ada"',
            "chain completed",
        ]


async def test_a_claim_needs_an_amount(workflows: RunningExample) -> None:
    async with workflows.shell.running("node conditional.mjs") as conditional:
        assert await conditional.wait() == 2


async def test_the_readme_has_every_program_and_no_other() -> None:
    programs = {
        path.name for path in DIRECTORY.iterdir() if path.suffix in {".py", ".mjs"} and path.stem != "outcome"
    }
    assert {command.split()[1] for command in sessions()} == programs
    assert set(re.findall(r"^\|[^|]+\| `([^`]+)` \|", README, re.MULTILINE)) == programs


async def test_the_sdks_of_the_readme_are_those_the_examples_are_run_with() -> None:
    project = (DIRECTORY.parents[1] / "pyproject.toml").read_text()
    (python_sdk,) = re.findall(r"pip install (\S+)", README)
    assert f'"{python_sdk}"' in project
    assert f'"iii-sdk": "{SDK_VERSION}"' in (DIRECTORY / "package.json").read_text()


async def test_the_configuration_is_right() -> None:
    config = load_config(DIRECTORY / "iii-config.yaml", environ={})
    assert config.warnings == ()


async def longest_wait_ms(workflows: RunningExample, queue: str) -> float:
    """Return the longest wait between two attempts that Temporal was told for a step on a queue."""
    client = await Client.connect(workflows.temporal_address)
    async for chain in client.list_workflows("WorkflowType = 'weather::fetch'"):
        history = await client.get_workflow_handle(chain.id).fetch_history()
        for event in history.events:
            scheduled = event.activity_task_scheduled_event_attributes
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and (
                scheduled.task_queue.name.endswith(f".{queue}")
            ):
                return scheduled.retry_policy.maximum_interval.ToMilliseconds()
    raise AssertionError(f"no step was on {queue}")
