"""`iii-temporal queues` and `iii-temporal dlq` against a real bridge."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from bridge.cli import main
from tests.support.bridge_process import PROGRAM
from tests.support.fake_sdk import FakeSdk
from tests.support.handlers import Failing, numbered
from tests.support.running_bridge import RunningBridge, StartBridge
from tests.support.temporal_server import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

Cli = Callable[..., Awaitable[Result]]


@pytest.fixture
def queues() -> dict[str, Any]:
    return {"orders": {"max_retries": 1, "dlq": {"capacity": 2}}, "quiet": {"concurrency": 3}}


@pytest.fixture
async def bridge(start_bridge: StartBridge, queues: dict[str, Any]) -> RunningBridge:
    return await start_bridge(queues)


@pytest.fixture
def cli(bridge: RunningBridge) -> Cli:
    """Run a command against the bridge."""

    async def run(*arguments: str, answer: str | None = None) -> Result:
        command = [*arguments, "--port", port_of(bridge)]
        with capture_logs():  # those of the bridge would go where the command's output is looked for
            return await asyncio.to_thread(CliRunner().invoke, main, command, answer)

    return run


def port_of(bridge: RunningBridge) -> str:
    return bridge.addresses.workers[0].rpartition(":")[2]


async def lose(bridge: RunningBridge, count: int, **failing: Any) -> tuple[FakeSdk, list[str]]:
    """Have messages die; returns the worker and their receipts."""
    worker = await bridge.connect()
    await worker.register({"orders::charge": Failing(**failing)})
    receipts = []
    for number, payload in enumerate(numbered(count), start=1):
        receipts.append(await worker.enqueue("orders::charge", payload, "orders"))
        await bridge.dead_letters("orders", number)
    return worker, receipts


async def test_queues_are_shown_in_a_table(bridge: RunningBridge, cli: Cli) -> None:
    await lose(bridge, 2)

    async def table() -> dict[str, list[str]]:
        shown = await cli("queues")
        assert shown.exit_code == 0
        return {line.split()[0]: line.split() for line in shown.stdout.splitlines()}

    async def with_the_dead() -> dict[str, list[str]] | None:
        rows = await table()
        return rows if rows["orders"][5] != "0/2" else None  # what Temporal said is told for some seconds

    rows = await eventually(with_the_dead)
    assert rows["orders"] == ["orders", "0", "-", "0", "0", "2/2", "!", "10"]
    assert rows["quiet"] == ["quiet", "0", "-", "0", "0", "0", "3"]
    as_json = json.loads((await cli("queues", "--json")).stdout)
    assert {row["name"]: row["dead_letters"] for row in as_json}["orders"] == 2


async def test_dead_letters_are_counted_and_listed(bridge: RunningBridge, cli: Cli) -> None:
    _, receipts = await lose(bridge, 2, text="card declined:\nno money")

    counted = (await cli("dlq", "list")).stdout
    assert ["orders", "2"] in [line.split() for line in counted.splitlines()]
    listed = (await cli("dlq", "list", "orders", "--error", "declined", "--newer-than", "1h")).stdout
    head, *rows = listed.splitlines()
    assert head.split() == ["ID", "DIED", "FUNCTION", "ATTEMPTS", "ERROR"]
    assert [row.split()[0] for row in rows] == receipts[::-1]
    assert rows[0].endswith("orders::charge  1         card declined: no money")
    assert len((await cli("dlq", "list", "orders", "--limit", "1")).stdout.splitlines()) == 2
    found = json.loads((await cli("dlq", "list", "orders", "--function", "another", "--json")).stdout)
    assert found == []


async def test_one_dead_letter_is_shown_with_its_whole_story(bridge: RunningBridge, cli: Cli) -> None:
    _, (receipt,) = await lose(bridge, 1)

    shown = (await cli("dlq", "show", "orders", receipt)).stdout
    for text in (receipt, "orders::charge", "invocation_failed: boom", '"n": 0', "Traceback: in the handler"):
        assert text in shown
    assert json.loads((await cli("dlq", "show", "orders", receipt, "--json")).stdout)["payload"] == {"n": 0}
    unknown = await cli("dlq", "show", "orders", "unheard-of")
    assert unknown.exit_code == 1
    assert "no dead letter unheard-of" in unknown.stderr


async def test_a_redrive_is_followed_to_its_end(bridge: RunningBridge, cli: Cli) -> None:
    await lose(bridge, 2, times=2)

    would = await cli("dlq", "redrive", "orders", "--all", "--dry-run")
    assert (would.exit_code, would.stdout) == (0, "would redrive 2 of orders\n")
    done = await cli("dlq", "redrive", "orders", "--all", "--rate", "1")
    assert done.exit_code == 0
    assert done.stdout == "orders: 2 matched, 2 redriven, 0 skipped, 0 failed; done\n"
    assert "; running" in done.stderr
    await bridge.has_no_dead_letters("orders")


async def test_messages_are_settled_by_id(bridge: RunningBridge, cli: Cli) -> None:
    _, receipts = await lose(bridge, 2)

    one = await cli("dlq", "discard", "orders", receipts[0])
    assert (one.exit_code, one.stdout) == (0, "orders: 1 discarded\n")
    again = await cli("dlq", "redrive", "orders", receipts[0], receipts[1], "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout) == {"queue": "orders", "redriven": 1, "missing": [receipts[0]]}


async def test_discarding_many_needs_consent(
    bridge: RunningBridge, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose(bridge, 2)

    alone = await cli("dlq", "discard", "orders", "--all")
    assert alone.exit_code == 2
    assert "--yes" in alone.stderr
    monkeypatch.setattr("bridge.cli.dlq_bulk._somebody_is_here", lambda: True)
    refused = await cli("dlq", "discard", "orders", "--all", answer="n\n")
    assert refused.exit_code == 1
    assert "Discard 2 dead letters of orders for good?" in refused.stdout
    await bridge.dead_letters("orders", 2)

    consented = await cli("dlq", "discard", "orders", "--all", "--limit", "1", answer="y\n")
    assert consented.exit_code == 0
    await bridge.dead_letters("orders", 1)
    unasked = await cli("dlq", "discard", "orders", "--all", "--yes", "--json")
    assert json.loads(unasked.stdout)["discarded"] == 1


async def test_an_operation_is_left_looked_at_and_cancelled(bridge: RunningBridge, cli: Cli) -> None:
    await lose(bridge, 2)

    begun = await cli("dlq", "discard", "orders", "--all", "--yes", "--rate", "0.001", "--no-wait")
    operation_id = begun.stdout.strip()
    await bridge.dead_letters("orders", 1)
    assert (await cli("dlq", "status", operation_id)).stdout.endswith("; running\n")
    assert (await cli("dlq", "cancel", operation_id)).exit_code == 0

    async def report() -> dict[str, Any] | None:
        shown: dict[str, Any] = json.loads((await cli("dlq", "status", operation_id, "--json")).stdout)
        return shown if shown["status"] != "running" else None

    ended = await eventually(report)
    assert (ended["status"], ended["discarded"], ended["skipped"]) == ("cancelled", 1, 1)
    assert (await cli("dlq", "cancel", operation_id)).exit_code == 1


async def test_ctrl_c_leaves_the_operation_running_and_tells_how_to_go_on(bridge: RunningBridge) -> None:
    worker, _ = await lose(bridge, 2)
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *("dlq", "discard", "orders", "--all", "--yes", "--rate", "0.001", "--port", port_of(bridge)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"running" in await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, told = await process.communicate()
    assert process.returncode == 130
    operation_id = told.decode().partition("dlq status ")[2].partition("`")[0]
    found = await worker.trigger("iii::queue::operation", {"operation_id": operation_id})
    assert found["status"] == "running"
    await worker.trigger("iii::queue::cancel_operation", {"operation_id": operation_id})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["redrive", "orders"], "say which dead letters"),
        (["redrive", "orders", "an-id", "--all"], "give IDs, or filters, or --all"),
        (["redrive", "orders", "an-id", "--dry-run"], "--dry-run"),
        (["redrive", "orders", "--all", "--rate", "0"], "--rate"),
        (["list", "orders", "--older-than", "yesterday"], "30s, 5m, 2h or 7d"),
        (["list", "--error", "x"], "filters need a QUEUE"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], text: str) -> None:
    refused = CliRunner().invoke(main, ["dlq", *arguments])
    assert refused.exit_code == 2
    assert text in " ".join(refused.stderr.split())


def test_without_a_bridge_the_error_says_so() -> None:
    failed = CliRunner().invoke(main, ["dlq", "list", "orders", "--port", str(free_port())])
    assert failed.exit_code == 1
    assert "Is a bridge running there?" in failed.stderr


async def test_an_error_of_the_bridge_is_told_with_its_code(cli: Cli) -> None:
    failed = await cli("dlq", "status", "unheard-of")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error[operation_not_found]: ")


def test_help_has_examples() -> None:
    shown = CliRunner().invoke(main, ["dlq", "--help"]).stdout
    assert "iii-temporal dlq redrive orders --all --dry-run" in shown
