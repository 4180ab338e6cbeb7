"""A handler that goes on after its attempt was given up changes nothing: its order is charged once.

Real processes: Temporal, a bridge that is killed with kill -9, and a worker on the real SDK that outlives it.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.conformance.sdk_install import node_executable, node_sdk, python_sdk
from tests.support.fake_sdk import connected
from tests.support.pipeline_processes import BridgeProcess, Process, TemporalProcess, free_port
from tests.support.waiting import eventually
from workflows.contract import ChainState, Query, StepStatus

PREFIX = "late"
CLIENTS = Path(__file__).parent / "clients"
PATIENCE_S = 30
RETRIES = {"max_retries": 50, "backoff_type": "fixed", "backoff_ms": 50}
QUEUES = {
    "orders": RETRIES,
    "lines": {**RETRIES, "type": "fifo", "message_group_field": "order"},
    "hasty": {**RETRIES, "timeout_ms": 3000},
    "last-try": {"max_retries": 1, "timeout_ms": 700},
    "charges": RETRIES,
}

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@dataclass
class Shop:
    """The running processes and what a test asks of them.

    Attributes:
        receipts: Of the orders, by number.
    """

    runtime: str
    bridge: BridgeProcess
    port: int
    directory: Path
    client: Client
    receipts: dict[int, str] = field(default_factory=dict)

    @property
    def handlers(self) -> list[str]:
        """The functions that place an order."""
        return ["order", "order_over_a_hop", *(["order_sync"] if self.runtime == "python" else [])]

    async def order(self, handler: str, queue: str) -> int:
        """Enqueue an order; answers its number."""
        number = len(self.receipts) + 1
        async with connected(f"ws://127.0.0.1:{self.port}") as sdk:
            self.receipts[number] = await sdk.enqueue(f"late::{handler}", {"order": number}, queue)
        return number

    async def redrive(self, queue: str, number: int) -> None:
        async with connected(f"ws://127.0.0.1:{self.port}") as sdk:
            letter = {"queue": queue, "message_id": self.receipts[number]}
            await sdk.trigger("iii::queue::redrive_message", letter)

    async def restart_bridge(self) -> None:
        self.bridge.kill()
        await asyncio.to_thread(self.bridge.start)

    async def go(self, number: int, attempt: int) -> None:
        """Let the first handler enqueue, or all others; returns when that of the attempt has."""
        (self.directory / f"go-{number}-{attempt}").touch()
        await self.noted("enqueued", number, attempt=attempt)

    async def noted(self, what: str, number: int, **more: Any) -> dict[str, Any]:
        """Wait until the worker has noted something."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.notes(what, number) if more.items() <= each.items()), None)

        return await eventually(found, PATIENCE_S)

    def notes(self, what: str, number: int) -> list[dict[str, Any]]:
        path = self.directory / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [note for note in map(json.loads, lines) if (note["what"], note["order"]) == (what, number)]

    async def ended(self, number: int) -> None:
        """Wait until the chain of an order has ended."""
        chain = f"{PREFIX}.chain/{self.receipts[number]}"

        async def has_ended() -> bool:
            query = f"WorkflowId = '{chain}' AND ExecutionStatus != 'Running'"
            return (await self.client.count_workflows(query)).count > 0

        await eventually(has_ended, PATIENCE_S)

    async def charged_once(self) -> None:
        """Assert that every order is charged once, as a step of its chain, and that there is no other."""
        for number, receipt in self.receipts.items():
            await self.ended(number)
            chain = self.client.get_workflow_handle(f"{PREFIX}.chain/{receipt}")
            state: ChainState = await chain.query(Query.CHAIN, result_type=ChainState)
            (charge,) = self.notes("charged", number)
            assert {note["receipt"] for note in self.notes("enqueued", number)} == {charge["receipt"]}
            assert {step.receipt for step in state.steps} == {receipt, charge["receipt"]}
            assert {step.status for step in state.steps} == {StepStatus.COMPLETED}
        chains = self.client.list_workflows(f"WorkflowId STARTS_WITH '{PREFIX}.chain/'")
        ids = {f"{PREFIX}.chain/{receipt}" for receipt in self.receipts.values()}
        assert {chain.id async for chain in chains} == ids


@asynccontextmanager
async def open_shop(tmp_path: Path, runtime: str) -> AsyncIterator[Shop]:
    port = free_port()
    temporal = TemporalProcess(tmp_path)
    config = {
        "iii-temporal": {"prefix": PREFIX, "admin": {"port": 0}, "heartbeat_timeout_ms": 2000},
        "iii-worker-manager": {"port": port},
        "iii-queue": {"queue_configs": QUEUES},
    }
    bridge = BridgeProcess(tmp_path, temporal.address, config)
    worker = worker_process(runtime, tmp_path, f"ws://127.0.0.1:{port}")
    try:
        for process in (temporal, bridge, worker):
            await asyncio.to_thread(process.start)
        client = await Client.connect(temporal.address)
        yield Shop(runtime, bridge, port, tmp_path, client)
    finally:
        for process in (worker, bridge, temporal):
            process.kill()


def worker_process(runtime: str, directory: Path, url: str) -> Process:
    if runtime == "python":
        command = [str(python_sdk("0.25.0")), str(CLIENTS / "late.py")]
    else:
        # Node looks for packages beside the program, so the program is put beside the packages.
        (directory / "node_modules").symlink_to(node_sdk("0.22.1") / "node_modules")
        command = [str(node_executable()), shutil.copy(CLIENTS / "late.mjs", directory)]
    return Process([*command, url, str(directory)], directory, "worker", {"OTEL_ENABLED": "true"})


@pytest.fixture(params=["python", "node"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, request.param) as shop:
        yield shop


async def test_handlers_that_outlive_their_bridge_enqueue_the_same_step_as_their_retries(shop: Shop) -> None:
    orders = [
        (await shop.order(handler, queue), attempts)
        for handler in shop.handlers
        for queue in ("orders", "lines")
        for attempts in ((1, 2), (2, 1))
    ]
    for number, _ in orders:
        await shop.noted("began", number, attempt=1)
    await shop.restart_bridge()
    for number, (first, second) in orders:
        await shop.go(number, first)
        if first == 2:  # the other one enqueues when nobody is left who could know of it
            await shop.ended(number)
        await shop.go(number, second)

    await shop.charged_once()


async def test_so_do_handlers_that_took_too_long(shop: Shop) -> None:
    orders = [
        (await shop.order(handler, "hasty"), attempts)
        for handler in shop.handlers
        for attempts in ((1, 2), (2, 1))
    ]
    for number, (first, second) in orders:
        await shop.noted("began", number, attempt=2)
        await shop.go(number, first)
        await shop.go(number, second)

    await shop.charged_once()


async def test_a_handler_whose_step_is_a_dead_letter_is_refused_until_it_is_redriven(
    tmp_path: Path,
) -> None:
    async with open_shop(tmp_path, "python") as shop:
        number = await shop.order("order", "last-try")
        await shop.ended(number)
        (tmp_path / f"go-{number}-1").touch()
        refused = await shop.noted("refused", number)

        assert "given up" in refused["error"]
        assert not shop.notes("charged", number)
        await shop.redrive("last-try", number)
        await shop.noted("charged", number)
        await shop.charged_once()
