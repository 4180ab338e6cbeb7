"""`temporal::*`, `expose` and the trigger type `temporal`, from handlers on the real SDKs of iii."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.conformance.sdk_worker import Sdk
from tests.integration.interop.real_sdk import SDKS, RealSdk, real_sdk
from tests.support.fake_sdk import CallFailed
from tests.support.running_bridge import (
    RunningBridge,
    bridge_config,
    deliveries,
    ended,
    events,
    running_bridge,
    write_config,
)
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
async def allowing(
    temporal: Client, temporal_address: str, prefix: str, foreign_queue: str, tmp_path: Path
) -> AsyncIterator[RunningBridge]:
    """A bridge that lets functions use the orders of the foreign worker, and offers them as a function."""
    config = bridge_config(
        temporal_address,
        prefix,
        {"jobs": {"max_retries": 2, "backoff_ms": 20}},
        interop={"workflows": [{"workflow": "Order*", "task_queue": foreign_queue}]},
        expose={"orders::fulfil": {"workflow": "OrderWorkflow", "task_queue": foreign_queue}},
    )
    adapter = {"name": "kv", "config": {"store_method": "in_memory"}}
    config["workers"].append({"name": "iii-state", "config": {"adapter": adapter}})
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        yield bridge


@pytest.fixture(params=SDKS, ids=str)
async def client(request: pytest.FixtureRequest, allowing: RunningBridge) -> AsyncIterator[RealSdk]:
    sdk: Sdk = request.param
    async with real_sdk(allowing, await allowing.connect(), sdk, "client") as client:
        yield client


async def test_an_sdk_starts_asks_and_awaits_a_workflow(client: RealSdk, foreign_queue: str) -> None:
    name = f"order-{uuid.uuid4()}"
    started = await client.call(
        "temporal::start",
        {"workflow": "OrderWorkflow", "task_queue": foreign_queue, "id": name, "input": {"waits": True}},
    )
    which = {"workflow_id": name}
    assert started.keys() == {"workflow_id", "run_id"}
    assert await client.call("temporal::update", {**which, "update": "rename", "input": "lamp"}) == "unnamed"
    assert await client.call("temporal::query", {**which, "query": "name", "args": ["!"]}) == "lamp!"
    assert (await client.call("temporal::describe", which))["status"] == "running"
    assert await client.call("temporal::signal", {**which, "signal": "approve"}) is None
    end = await client.call("temporal::result", which)
    assert end == {"status": "completed", "result": {"order": {"waits": True}, "name": "lamp"}}


async def test_an_sdk_sees_the_code_of_what_failed_and_of_what_is_forbidden(
    client: RealSdk, foreign_queue: str
) -> None:
    asked = {"task_queue": foreign_queue, "input": {"fail": "OUT_OF_STOCK"}, "wait": True}
    with pytest.raises(CallFailed, match="as asked") as caught:
        await client.call("temporal::start", {"workflow": "OrderWorkflow", **asked})
    assert caught.value.code == "OUT_OF_STOCK"
    with pytest.raises(CallFailed, match=r"interop\.workflows") as caught:
        await client.call("temporal::start", {"workflow": "Secret", **asked})
    assert caught.value.code == "FORBIDDEN"


async def test_an_sdk_keeps_a_schedule(client: RealSdk, foreign_queue: str) -> None:
    which = {"schedule_id": f"nightly-{uuid.uuid4()}"}
    what = {"workflow": "OrderWorkflow", "task_queue": foreign_queue, "spec": {"every_ms": 3_600_000}}
    assert await client.call("temporal::schedule::create", {**which, **what}) is None
    await client.call("temporal::schedule::update", {**which, "note": "changed", "paused": True})
    times = {"start_ms": 1_767_225_600_000, "end_ms": 1_767_232_800_000, "overlap": "allow_all"}
    assert await client.call("temporal::schedule::backfill", {**which, **times}) == {"times": 3}

    async def listed() -> Any:
        asked = {"schedule_id_prefix": which["schedule_id"], "task_queue": foreign_queue}
        return (await client.call("temporal::schedule::list", asked))["schedules"]

    (found,) = await eventually(listed)
    assert (found["note"], found["paused"]) == ("changed", True)
    await client.call("temporal::schedule::delete", which)


async def test_an_sdk_calls_a_workflow_as_a_function(client: RealSdk) -> None:
    answer = await client.call("orders::fulfil", {"lamp": 1})
    assert answer == {"order": {"lamp": 1}, "name": "unnamed"}
    with pytest.raises(CallFailed) as caught:
        await client.call("orders::fulfil", {"fail": "OUT_OF_STOCK"})
    assert caught.value.code == "OUT_OF_STOCK"


async def test_an_sdk_enqueues_a_workflow_as_a_step(client: RealSdk, allowing: RunningBridge) -> None:
    receipt = (await client.call("orders::fulfil", {"lamp": 1}, queue="jobs"))["messageReceiptId"]
    chain = allowing.chain(receipt)
    await ended(chain)
    assert deliveries(await events(chain)) == ["orders::fulfil"]
    result = await client.call("chain::result", {"receipt": receipt})
    assert result["result"] == {"order": {"lamp": 1}, "name": "unnamed"}


async def test_an_sdk_is_told_when_a_workflow_has_closed(client: RealSdk, foreign_queue: str) -> None:
    await client.run(
        "bind",
        {
            "type": "temporal",
            "function_id": client.function("note"),
            "config": {"workflow": "Order*", "queue": "jobs", "status": "failed"},
        },
    )
    told: list[Any] = []

    async def is_told() -> bool:
        # Closes count from the moment that the subscription is in force, which no SDK waits for.
        asked = {"workflow": "OrderWorkflow", "task_queue": foreign_queue, "input": {"fail": "X"}}
        await client.call("temporal::start", asked)
        told.extend(await client.run("notes"))
        return bool(told)

    await eventually(is_told, 20)
    assert {(each["workflow"], each["status"]) for each in told} == {("OrderWorkflow", "failed")}
    assert len({each["run_id"] for each in told}) == len(told)
