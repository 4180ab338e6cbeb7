"""The alert function of a queue with too many dead letters."""

from typing import Any

import pytest

from tests.support.fake_sdk import FakeSdk
from tests.support.handlers import Failing, Recording, numbered
from tests.support.running_bridge import RunningBridge, StartBridge
from tests.support.waiting import eventually
from workflows.names import alarm_id

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.builtins.queue.watch._LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("bridge.temporal.shared_look._FRESH_S", 0.05)


@pytest.fixture
def queues() -> dict[str, Any]:
    limits = {"capacity": 4, "alert_at": 0.5, "alert_function_id": "ops::alert"}
    return {"orders": {"max_retries": 1, "dlq": limits}}


async def lose(bridge: RunningBridge, worker: FakeSdk, count: int) -> None:
    await worker.offer(job=Failing())
    for payload in numbered(count):
        await worker.enqueue("job", payload, "orders")
    await bridge.dead_letters("orders", count)


async def discard_all(bridge: RunningBridge, worker: FakeSdk) -> None:
    await worker.trigger("iii::queue::discard", {"queue": "orders"})
    await bridge.has_no_dead_letters("orders")


async def is_over(bridge: RunningBridge) -> bool:
    found = await bridge.client.get_workflow_handle(alarm_id(bridge.tenancy, "orders")).describe()
    return found.close_time is not None


async def test_each_crossing_is_told_once_over_all_bridges(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first, second = await start_bridge(queues), await start_bridge(queues)
    worker, told = await first.connect(), Recording()
    other = await second.connect()
    await worker.offer(ops__alert=told)
    await other.offer(ops__alert=told)
    await lose(first, worker, 2)
    await first.eventually_handled(told.payloads, 1)
    assert told.payloads[0].pop("at_ms") > 0
    assert told.payloads == [{"queue": "orders", "count": 2, "capacity": 4, "threshold": 2}]

    await discard_all(first, worker)
    await eventually(lambda: is_over(first))
    await lose(first, worker, 3)
    await first.eventually_handled(told.payloads, 2)
    assert len(told.payloads) == 2


async def test_a_restarted_bridge_does_not_tell_it_again(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first, told = await start_bridge(queues), Recording()
    worker = await first.connect()
    await worker.offer(ops__alert=told)
    await lose(first, worker, 2)
    await first.eventually_handled(told.payloads, 1)
    await first.stop()

    second = await start_bridge(queues)
    worker = await second.connect()
    await worker.offer(ops__alert=told)
    await discard_all(second, worker)
    await eventually(lambda: is_over(second))  # so it has looked, at too many and at none
    assert len(told.payloads) == 1


async def test_an_alert_function_that_comes_later_is_called_then(bridge: RunningBridge) -> None:
    worker, told = await bridge.connect(), Recording()
    await lose(bridge, worker, 2)
    alarm = bridge.client.get_workflow_handle(alarm_id(bridge.tenancy, "orders"))

    async def has_tried() -> bool:
        pending = (await alarm.describe()).raw_description.pending_activities
        return bool(pending) and pending[0].attempt > 1

    await eventually(lambda: _exists(bridge))
    await eventually(has_tried)
    await worker.offer(ops__alert=told)
    await eventually(lambda: told.payloads)
    await discard_all(bridge, worker)
    assert await alarm.result() == "ops::alert was called"


async def test_an_alert_function_that_fails_counts_as_called(bridge: RunningBridge) -> None:
    worker, failing = await bridge.connect(), Failing(text="pager is down")
    await worker.offer(ops__alert=failing)
    await lose(bridge, worker, 2)
    await bridge.eventually_handled(failing.calls, 1)
    await discard_all(bridge, worker)
    alarm = bridge.client.get_workflow_handle(alarm_id(bridge.tenancy, "orders"))
    assert await alarm.result() == "ops::alert failed: invocation_failed: pager is down"
    assert len(failing.calls) == 1


async def test_an_alarm_that_is_over_before_anybody_could_be_told_ends(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await lose(bridge, worker, 2)
    await eventually(lambda: _exists(bridge))
    await discard_all(bridge, worker)
    alarm = bridge.client.get_workflow_handle(alarm_id(bridge.tenancy, "orders"))
    assert await alarm.result() == "nobody offered ops::alert"


async def _exists(bridge: RunningBridge) -> bool:
    query = f"WorkflowId = '{alarm_id(bridge.tenancy, 'orders')}'"
    return (await bridge.client.count_workflows(query)).count == 1
