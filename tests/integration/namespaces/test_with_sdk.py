"""A mapped namespace with the real Python SDK: its workers name their namespace, and no call has to."""

import asyncio
from typing import Any

import pytest
from iii import InitOptions, TriggerAction, register_worker

from tests.integration.namespaces.conftest import TEAM, TwoNamespaces
from tests.support.running_bridge import deliveries, ended, events
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


async def test_a_pipeline_of_a_worker_that_names_its_namespace_is_kept_there(two: TwoNamespaces) -> None:
    done: list[dict[str, Any]] = []
    options = InitOptions(
        worker_name="orders", namespace="orders", otel={"enabled": False}, enable_metrics_reporting=False
    )
    worker = await asyncio.to_thread(register_worker, two.bridge.addresses.workers[0], options)

    async def validate(order: dict[str, Any]) -> None:
        next_step = {
            "function_id": "orders::ship",
            "payload": order,
            "action": TriggerAction.Enqueue(queue="jobs"),
        }
        await worker.trigger_async(next_step)

    async def ship(order: dict[str, Any], metadata: dict[str, Any]) -> None:
        done.append({**order, **metadata["iii-temporal"]})

    try:
        worker.register_function("orders::validate", validate)
        worker.register_function("orders::ship", ship)
        receipt = await two.here.enqueue("orders::validate", {"order": 7}, "jobs", namespace="orders")
        (shipped,) = await eventually(lambda: done)
        assert (shipped["order"], shipped["namespace"], shipped["chain_id"]) == (7, TEAM, receipt)
        await ended(two.chain(receipt))
        assert deliveries(await events(two.chain(receipt))) == ["orders::validate", "orders::ship"]
    finally:
        await asyncio.to_thread(worker.shutdown)
        worker._loop.close()  # the SDK stops its loop and leaves it open
