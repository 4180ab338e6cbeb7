"""The gauges of a queue follow what happens to its messages; `/readyz` follows the process."""

from typing import Any

import httpx
import pytest

from tests.support.handlers import Gate
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    """A queue that works on one message at a time."""
    return {"slow": {"concurrency": 1}}


async def gauges(bridge: RunningBridge) -> dict[str, float]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        text = (await client.get(f"{bridge.addresses.admin}/metrics")).text
    lines = [line.rpartition(" ") for line in text.splitlines() if '{queue="slow"}' in line]
    return {name.removesuffix('{queue="slow"}'): float(value) for name, _, value in lines}


async def test_in_flight_and_depth_rise_with_a_backlog(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.temporal.shared_look._FRESH_S", 0.0)
    worker, gate = await bridge.connect(), Gate()
    await worker.offer(orders__slow=gate)
    assert (await gauges(bridge))["iii_queue_in_flight"] == 0

    for _ in range(3):
        await worker.enqueue("orders::slow", {}, "slow")
    await eventually(lambda: gate.begun)

    async def has_backlog() -> bool:
        now = await gauges(bridge)
        return (now["iii_queue_in_flight"], now["iii_queue_depth"]) == (1, 2)

    await eventually(has_backlog)
    assert (await gauges(bridge))["iii_queue_oldest_seconds"] > 0
    gate.open()

    async def is_done() -> bool:
        now = await gauges(bridge)
        return now["iii_queue_in_flight"] == 0 and len(gate.begun) == 3

    await eventually(is_done)


async def test_a_bridge_that_stops_is_not_ready_while_what_runs_ends(bridge: RunningBridge) -> None:
    worker, gate = await bridge.connect(), Gate()
    await worker.offer(orders__slow=gate)
    await worker.enqueue("orders::slow", {}, "slow")
    await eventually(lambda: gate.begun)

    bridge.bridge.stop()

    async def says_so() -> bool:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            answer = await client.get(f"{bridge.addresses.admin}/readyz")
        return answer.status_code == 503 and answer.json()["checks"]["process"] == "stopping"

    await eventually(says_so)
    gate.open()
    await bridge.task
    with pytest.raises(httpx.ConnectError):
        await says_so()
