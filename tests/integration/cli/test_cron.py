"""`iii-temporal cron`, beside a bridge and without one."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec

from bridge.cli import main
from tests.support.bridge_process import PROGRAM
from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Failing
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config
from tests.support.temporal_server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

HOURLY = "0 0 * * * *"
Cron = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def config(temporal_address: str, prefix: str, tmp_path: Path) -> Path:
    config = bridge_config(temporal_address, prefix, {})
    config["workers"].append({"name": "iii-cron"})
    return write_config(tmp_path, config)


@pytest.fixture
async def bridge(config: Path, temporal: Client, prefix: str) -> AsyncIterator[RunningBridge]:
    async with running_bridge(config, temporal, prefix) as bridge:
        yield bridge


@pytest.fixture
def cron(config: Path, monkeypatch: pytest.MonkeyPatch) -> Cron:
    """Run `iii-temporal cron`."""

    # The command ends the process, which here is also that of the test.
    monkeypatch.setattr("bridge.cli.process.leave", sys.exit)

    async def run(*arguments: str) -> tuple[int, str, str]:
        command = ["cron", *arguments, "--config", str(config)]
        with capture_logs():  # those of the bridge would go where the command's output is looked for
            result = await asyncio.to_thread(CliRunner().invoke, main, command)
        return result.exit_code, result.stdout, result.stderr

    return run


async def bind(bridge: RunningBridge, worker: FakeSdk, function_id: str, **config: Any) -> str:
    """Bind a cron trigger; returns the key of its schedule."""
    trigger = {"trigger_type": "cron", "function_id": function_id, "config": {"expression": HOURLY, **config}}
    await worker.send({"type": "registertrigger", "id": f"trigger-{function_id}", **trigger})
    begin = f"{bridge.prefix}.cron/{function_id}/"

    async def key() -> str | None:
        async for entry in await bridge.client.list_schedules(f"ScheduleId STARTS_WITH '{begin}'"):
            return entry.id.removeprefix(f"{bridge.prefix}.cron/")
        return None

    return await eventually(key)


async def test_a_schedule_is_listed_with_what_it_calls_and_how_it_fared(
    bridge: RunningBridge, cron: Cron
) -> None:
    assert "No cron trigger has a schedule" in (await cron("list"))[1]
    worker = await bridge.connect()
    await worker.offer(reports__nightly=Failing(), reports__weekly=Failing())
    nightly = await bind(bridge, worker, "reports::nightly", timezone="Europe/Berlin")
    weekly = await bind(bridge, worker, "reports::weekly")
    await bridge.client.get_schedule_handle(f"{bridge.prefix}.cron/{weekly}").pause(note="until Friday")

    code, output, _ = await cron("run", "reports::nightly", "--wait")
    assert code == 1
    assert f"workflow {bridge.prefix}.cron/{nightly}" in output
    assert "failed: invocation_failed" in output

    code, output, _ = await cron("list")
    head, first, second = output.splitlines()
    assert code == 0
    assert head.split()[:2] == ["SCHEDULE", "EXPRESSION"]
    assert first.startswith(f"{nightly}  {HOURLY} Europe/Berlin")
    assert "failed 2" in first
    assert "on, kept by " in first
    assert second.startswith(weekly)
    assert "never" in second
    assert second.endswith("paused by hand: until Friday")

    listed = {each["key"]: each for each in json.loads((await cron("list", "--json"))[1])}
    assert listed[nightly]["function_id"] == "reports::nightly"
    assert len(listed[nightly]["next"]) == 10
    assert listed[nightly]["last"]["outcome"] == "failed"
    assert listed[nightly]["last"]["error"] == "invocation_failed: boom"
    assert listed[nightly]["fired"] == 1
    assert listed[weekly]["paused"] == {"by": "person", "note": "until Friday", "since": None}
    assert listed[weekly]["last"] is None


async def test_a_backfill_fires_for_every_time_that_has_passed(bridge: RunningBridge, cron: Cron) -> None:
    worker = await bridge.connect()
    due: list[str] = []

    async def note(call: Delivered) -> None:
        due.append(call.data["scheduled_time"])

    await worker.offer(reports__hourly=note)
    await bind(bridge, worker, "reports::hourly")
    times = ("--from", "2025-01-01T08:00", "--to", "2025-01-01T11:00:00+01:00")

    code, output, _ = await cron("backfill", "reports::hourly", *times, "--dry-run")
    assert (code, "would fire 3 times" in output) == (0, True)
    assert due == []

    code, output, _ = await cron("backfill", "reports::hourly", *times)
    assert (code, "fires 3 times, one after the other" in output) == (0, True)
    await eventually(lambda: len(due) == 3)
    assert due == [f"2025-01-01T{hour:02}:00:00+00:00" for hour in (8, 9, 10)]

    code, _, errors = await cron("backfill", "reports::hourly", "--from", "2024-01-01", "--to", "2025-01-01")
    assert code == 1  # it would be 8,785 fires, and nobody is there to consent
    assert len(due) == 3
    code, _, errors = await cron("backfill", "reports::hourly", "--from", "yesterday", "--to", "2025-01-01")
    assert (code, "'yesterday' is no time" in errors) == (2, True)


async def test_schedules_are_listed_and_fired_while_no_bridge_runs(bridge: RunningBridge, cron: Cron) -> None:
    worker = await bridge.connect()
    await worker.offer(reports__hourly=Failing())
    key = await bind(bridge, worker, "reports::hourly")
    await bridge.stop()

    code, output, _ = await cron("list")
    assert code == 0
    assert f"{key}  {HOURLY}" in output
    assert "paused: its worker is away since 2" in output

    code, output, errors = await cron("run", key)
    assert (code, output.startswith("fired reports::hourly")) == (0, True)
    assert "waits 60 s" in errors


async def test_a_name_that_is_unknown_or_ambiguous_is_answered_with_the_keys(
    bridge: RunningBridge, cron: Cron
) -> None:
    worker = await bridge.connect()
    keys = [
        await bind(bridge, worker, "reports::one"),
        await bind(bridge, worker, "reports::two"),
    ]
    await worker.send(
        {
            "type": "registertrigger",
            "id": "another",
            "trigger_type": "cron",
            "function_id": "reports::one",
            "config": {"expression": "0 30 * * * *"},
        }
    )

    async def all_listed() -> bool:
        query = f"ScheduleId STARTS_WITH '{bridge.prefix}.'"
        return len([each async for each in await bridge.client.list_schedules(query)]) == 3

    await eventually(all_listed)
    code, _, errors = await cron("run", "reports::one")
    assert (code, "2 schedules call reports::one" in errors) == (2, True)
    code, _, errors = await cron("run", "reports::three")
    assert code == 2
    assert all(key in errors for key in keys)


async def test_a_schedule_that_somebody_else_made_is_not_listed(
    temporal: Client, prefix: str, cron: Cron
) -> None:
    action = ScheduleActionStartWorkflow("theirs", id="theirs", task_queue="theirs")
    spec = ScheduleSpec(cron_expressions=["0 0 1 1 *"])
    foreign = await temporal.create_schedule(f"{prefix}.cron/theirs", Schedule(action=action, spec=spec))

    async def is_listed() -> bool:
        query = f"ScheduleId STARTS_WITH '{prefix}.'"
        return bool([each async for each in await temporal.list_schedules(query)])

    await eventually(is_listed)
    assert (await cron("list", "--json"))[:2] == (0, "[]\n")
    await foreign.delete()


async def test_the_command_ends_as_a_process_too(config: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM), *("cron", "list", "--json", "--config", str(config)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert (process.returncode, json.loads(output)) == (0, [])


async def test_a_temporal_that_does_not_answer_is_an_error_with_a_remedy(cron: Cron) -> None:
    code, _, errors = await cron("list", "--temporal-address", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert "cannot be reached" in errors
    assert "`address`, `tls` and `api_key` of iii-temporal" in errors
