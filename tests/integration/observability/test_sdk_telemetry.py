"""What a worker on the real Python SDK reports arrives as iii's functions show it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_sdk import FakeSdk
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

WORKER = Path(__file__).with_name("sdk_worker.py")


@pytest.fixture
async def client(bridge: RunningBridge) -> AsyncIterator[FakeSdk]:
    """A client of a bridge to which the worker has connected and which has run its function once."""
    client = await bridge.connect()
    worker = await asyncio.create_subprocess_exec(sys.executable, str(WORKER), bridge.addresses.workers[0])
    try:

        async def offered() -> bool:
            listed = await client.trigger("engine::functions::list", {"prefix": "billing::"})
            return bool(listed["functions"])

        await eventually(offered, PATIENCE_S)
        assert await client.trigger("billing::charge", {"order": 7}) == {"ok": True}
        yield client
    finally:
        worker.kill()
        await worker.wait()


async def test_logs_spans_and_metrics_of_a_worker_arrive(client: FakeSdk) -> None:
    async def logs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await client.trigger("engine::logs::list", {}))["logs"]
        return found

    (log,) = await eventually(logs)
    assert (log["body"], log["severity_text"], log["service_name"]) == ("charged", "INFO", "billing")

    async def handled() -> dict[str, Any] | None:
        tree = await client.trigger("engine::traces::tree", {"trace_id": log["trace_id"]})
        return next((each for root in tree["roots"] for each in root["children"]), None)

    below = await eventually(handled)
    assert (below["name"], below["service_name"]) == ("execute billing::charge", "billing")
    assert below["span_id"] == log["span_id"]

    async def charges() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await client.trigger("engine::metrics::list", {"metric_name": "shop.charges"})
        )["sdk_metrics"]
        return found

    metric = (await eventually(charges))[-1]
    assert (metric["metric_type"], metric["service_name"]) == ("counter", "billing")
    (point,) = metric["data_points"]
    assert (point["value"], point["attributes"]) == (1.0, {"currency": "EUR"})
