"""Workflows that the configuration declares as functions (docs/interop.md)."""

import json
from typing import Any

import pytest

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.running_bridge import RunningBridge, StartBridge, deliveries, ended, events

pytestmark = pytest.mark.integration


@pytest.fixture
async def exposing(start_bridge: StartBridge, foreign_queue: str) -> RunningBridge:
    return await start_bridge(
        {"jobs": {"max_retries": 2, "backoff_ms": 20}},
        expose={"orders::fulfil": {"workflow": "OrderWorkflow", "task_queue": foreign_queue}},
    )


@pytest.fixture
async def worker(exposing: RunningBridge) -> FakeSdk:
    return await exposing.connect()


async def test_a_sync_call_runs_the_workflow_with_the_payload(worker: FakeSdk) -> None:
    found = await worker.trigger("orders::fulfil", {"lamp": 1})
    assert found == {"order": {"lamp": 1}, "name": "unnamed"}


async def test_a_failure_is_an_error_with_its_type_as_code(worker: FakeSdk) -> None:
    with pytest.raises(CallFailed) as caught:
        await worker.trigger("orders::fulfil", {"fail": "OUT_OF_STOCK"})
    assert caught.value.code == "OUT_OF_STOCK"


async def test_an_enqueue_runs_it_as_a_step_of_a_chain(exposing: RunningBridge, worker: FakeSdk) -> None:
    chain = exposing.chain(await worker.enqueue("orders::fulfil", {"lamp": 1}, "jobs"))
    await ended(chain)
    assert deliveries(await events(chain)) == ["orders::fulfil"]
    found = await worker.trigger("chain::get", {"receipt": chain.id.rpartition("/")[2]})
    assert found["steps"][0]["result"] == {"order": {"lamp": 1}, "name": "unnamed"}


async def test_a_retried_step_gets_the_result_of_the_workflow_that_it_has_run(
    exposing: RunningBridge, worker: FakeSdk, foreign_queue: str
) -> None:
    results: list[Any] = []

    async def job(call: Delivered) -> None:
        results.append(await call.trigger("orders::fulfil", {"n": 1}))
        if len(results) == 1:
            raise CallFailed("AGAIN", "once more")

    await worker.offer(job=job)
    await ended(exposing.chain(await worker.enqueue("job", {}, "jobs")))
    assert len(results) == 2
    query = f"TaskQueue = '{foreign_queue}'"
    assert len([each async for each in exposing.client.list_workflows(query)]) == 1


async def test_calls_outside_steps_run_a_workflow_each(worker: FakeSdk, exposing: RunningBridge) -> None:
    assert await worker.trigger("orders::fulfil", {}) == await worker.trigger("orders::fulfil", {})
    shown = await worker.trigger("engine::functions::list", {"include_internal": True})
    assert "orders::fulfil" in json.dumps(shown)
    assert exposing
