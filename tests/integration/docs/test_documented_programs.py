"""The pieces of Python in docs/ are run as they stand there, on the real SDK, and do what the pages say."""

import ast
import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from iii import TriggerAction
from iii.iii import III
from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.support.fake_sdk import FakeSdk
from tests.support.pages import fences
from tests.support.python_worker import python_worker
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    # The SDK points to triggers by observation, which the pages are not about.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:iii", "ignore:register_trigger"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:docs"),
]

CHAINS = [fence.text for fence in fences("python", "docs/chains.md")]
INTEROP = [fence.text for fence in fences("python", "docs/interop.md")]
Chain = Callable[[str], Awaitable[dict[str, Any]]]


def run(text: str, **names: Any) -> dict[str, Any]:
    """Run a piece of a page, and return the names it leaves."""
    exec(compile(text, "docs/page.py", "exec"), names)
    return names


async def run_async(text: str, **names: Any) -> dict[str, Any]:
    """Run a piece of a page that awaits, and return the names it leaves."""
    code = compile(text, "docs/page.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)
    return names


@workflow.defn(name="OrderWorkflow")
class Order:
    """The workflow of the page: it waits for its approval."""

    def __init__(self) -> None:
        self._is_approved = False

    @workflow.run
    async def run(self, order: Any) -> Any:
        await workflow.wait_condition(lambda: self._is_approved)
        return order

    @workflow.signal
    def approve(self) -> None:
        self._is_approved = True


@workflow.defn(name="OrderReport")
class Report:
    @workflow.run
    async def run(self, asked: dict[str, str]) -> str:
        if "kind" not in asked:
            raise ApplicationError("a report of which kind?")
        return asked["kind"]


@workflow.defn(name="CallsAsThePageDoes")
class Calls:
    @workflow.run
    async def run(self, task_queue: str) -> Any:
        text = INTEROP[0].replace('"iii"', f'"{task_queue}"')
        names = await run_async(text, workflow=workflow, timedelta=timedelta, order={"total": 42})
        return names["payment"]


@pytest.fixture
async def queue(temporal: Client) -> AsyncIterator[str]:
    """The task queue of a worker with the workflows of the page."""
    worker = Worker(
        temporal,
        task_queue=f"foreign-{uuid.uuid4()}",
        workflows=[Order, Report, Calls],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker:
        yield worker.task_queue


@pytest.fixture
async def bridge(
    temporal: Client, temporal_address: str, prefix: str, queue: str, tmp_path: Path
) -> AsyncIterator[RunningBridge]:
    interop = {"workflows": [{"workflow": "Order*", "task_queue": queue}]}
    quick = {"max_retries": 1, "backoff_ms": 10}
    queues = {"default": quick, "payments": quick}
    config = bridge_config(temporal_address, prefix, queues, interop=interop)
    adapter = {"name": "kv", "config": {"store_method": "in_memory"}}
    config["workers"].append({"name": "iii-state", "config": {"adapter": adapter}})
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        yield bridge


@pytest.fixture
async def driver(bridge: RunningBridge) -> FakeSdk:
    return await bridge.connect()


@pytest.fixture
async def iii(bridge: RunningBridge) -> AsyncIterator[III]:
    async with python_worker(bridge.addresses.workers[0]) as worker:
        yield worker


@pytest.fixture
def chain_of(driver: FakeSdk) -> Chain:
    """Return a chain once it has ended."""

    async def ended(receipt: str) -> dict[str, Any]:
        async def got() -> dict[str, Any] | None:
            found: dict[str, Any] = await driver.trigger("chain::get", {"receipt": receipt})
            return None if found["chain"]["status"] in {"running", "compensating"} else found

        return await eventually(got, 30)

    return ended


def steps(chain: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["function_id"], each["status"]) for each in chain["steps"]]


async def test_what_a_registration_or_a_handler_declares_is_undone(
    iii: III, driver: FakeSdk, chain_of: Chain
) -> None:
    refunded: list[Any] = []

    async def reserve(_: Any) -> dict[str, str]:
        await iii.trigger_async(
            {"function_id": "pay", "payload": {}, "action": TriggerAction.Enqueue(queue="default")}
        )
        return {"reservation": "r-1"}

    async def release(undone: Any) -> str:
        return str(undone["result"]["reservation"])

    def pay(_: Any) -> None:
        run(CHAINS[1], iii=iii, charge_id="c-1")
        raise ValueError("and then it fails")

    async def refund(payload: Any) -> None:
        refunded.append(payload["charge"])

    run(CHAINS[0], iii=iii, reserve=reserve, release=release)
    iii.register_function("pay", pay)
    iii.register_function("payments::refund", refund)
    await known(driver, "payments::refund")
    chain = await chain_of(await driver.enqueue("inventory::reserve", {}, "default"))
    assert chain["chain"]["status"] == "compensated"
    assert refunded == ["c-1"]
    assert ("inventory::release", "completed") in steps(chain)


async def test_a_join_runs_when_its_branches_have_ended(iii: III, driver: FakeSdk, chain_of: Chain) -> None:
    joined: list[Any] = []

    def begin(data: Any) -> None:
        run(CHAINS[2], iii=iii, TriggerAction=TriggerAction, data=data)

    async def branch(_: Any) -> str:
        return "done"

    async def e(payload: Any) -> None:
        joined.append(payload)

    for name in ("b", "c", "d"):
        iii.register_function(name, branch)
    iii.register_function("begin", begin)
    iii.register_function("e", e)
    await known(driver, "e")
    chain = await chain_of(await driver.enqueue("begin", {}, "default"))
    assert chain["chain"]["status"] == "completed"
    assert [each["result"] for each in joined[0]["results"]] == ["done"] * 3
    assert joined[0]["payload"] == {"order": 7}


async def test_an_event_lets_the_waiting_function_go(iii: III, driver: FakeSdk, chain_of: Chain) -> None:
    told: list[Any] = []

    def wait(_: Any) -> None:
        run(CHAINS[3], iii=iii)

    async def approved(payload: Any) -> None:
        told.append(payload)

    iii.register_function("wait", wait)
    iii.register_function("orders::approved", approved)
    await known(driver, "orders::approved")
    receipt = await driver.enqueue("wait", {}, "default")
    await asyncio.to_thread(run, CHAINS[4], iii=iii, receipt=receipt)
    assert (await chain_of(receipt))["chain"]["status"] == "completed"
    assert (told[0]["event"], told[0]["data"], told[0]["payload"]) == (
        "approved",
        {"by": "ada"},
        {"order": 7},
    )


async def test_a_trigger_tells_of_a_dead_letter(iii: III, driver: FakeSdk) -> None:
    noted: list[Any] = []

    async def note(event: Any) -> None:
        noted.append(event["event"])

    async def charge(_: Any) -> None:
        raise ValueError("declined")

    iii.register_function("payments::charge", charge)
    iii.register_function("audit::note", note)
    await known(driver, "audit::note")
    run(CHAINS[5], iii=iii)

    async def is_told() -> bool:
        # A chain is watched if somebody watches when it begins, which no SDK waits for.
        await driver.enqueue("payments::charge", {}, "default")
        return {"dead-letter", "chain:failed"} <= set(noted)

    await eventually(is_told, 30)


async def test_a_workflow_calls_a_function(
    iii: III, driver: FakeSdk, temporal: Client, queue: str, prefix: str
) -> None:
    async def charge(order: Any) -> dict[str, int]:
        return {"paid": order["total"]}

    iii.register_function("payments::charge", charge)
    await known(driver, "payments::charge")
    paid = await temporal.execute_workflow(
        "CallsAsThePageDoes", prefix, id=f"calls-{uuid.uuid4()}", task_queue=queue
    )
    assert paid == {"paid": 42}


async def test_functions_start_signal_and_await_a_workflow(iii: III, queue: str) -> None:
    left = await run_async(INTEROP[1].replace('"orders"', f'"{queue}"'), iii=iii)
    assert left["started"]["workflow_id"] == "order-7"
    assert left["end"] == {"status": "completed", "result": {"lamp": 1}}


async def test_functions_create_change_and_backfill_a_schedule(iii: III, driver: FakeSdk, queue: str) -> None:
    left = await run_async(INTEROP[2].replace('"orders"', f'"{queue}"'), iii=iii)
    assert left["made_up_for"] == {"times": 3}
    which = {"schedule_id": "close-books"}
    seen = await driver.trigger("temporal::schedule::describe", which)
    assert (seen["overlap"], seen["note"]) == ("buffer_one", "one after the other")
    await driver.trigger("temporal::schedule::delete", which)


async def test_a_trigger_tells_of_a_workflow_that_failed(
    iii: III, driver: FakeSdk, temporal: Client, queue: str
) -> None:
    told: list[Any] = []

    async def closed(view: Any) -> None:
        told.append(view)

    iii.register_function("orders::closed", closed)
    await known(driver, "orders::closed")
    run(INTEROP[3], iii=iii)

    async def is_told() -> bool:
        # Closes count from the moment that the subscription is in force, which no SDK waits for.
        await temporal.start_workflow("OrderReport", {}, id=f"report-{uuid.uuid4()}", task_queue=queue)
        return bool(told)

    await eventually(is_told, 30)
    assert (told[0]["workflow"], told[0]["status"]) == ("OrderReport", "failed")


async def known(driver: FakeSdk, function_id: str) -> None:
    """Wait until a function is registered: the SDK does not tell when the bridge has it."""

    async def is_listed() -> bool:
        found = await driver.trigger("engine::functions::list", {})
        return function_id in {each["function_id"] for each in found["functions"]}

    await eventually(is_listed)
