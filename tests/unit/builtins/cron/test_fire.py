"""What happens when a trigger's time has come."""

from dataclasses import replace
from typing import Any

import pytest

from activities.deliveries import DeliveryFailedError
from bridge.errors import FunctionFailedError
from tests.unit.builtins.cron.cron_harness import CronHarness

HOURLY = {"expression": "0 0 * * * *"}
FUNCTION = "reports::nightly"


def recorder(harness: CronHarness, function_id: str = FUNCTION, **where: Any) -> list[Any]:
    received: list[Any] = []
    harness.offer(function_id, received.append, **where)
    return received


async def test_the_function_gets_the_event_with_the_id_of_its_trigger(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.bind(HOURLY, trigger_id="trigger-7")
    assert await harness.fire_only(scheduled_at_ms=harness.now_ms - 30_400) == "ran"
    assert received == [
        {
            "trigger": "cron",
            "job_id": "trigger-7",
            "scheduled_time": "2026-03-04T10:20:00+00:00",
            "actual_time": "2026-03-04T10:20:30.400+00:00",
        }
    ]


async def test_the_metadata_of_the_trigger_travels_beside_the_event(harness: CronHarness) -> None:
    recorder(harness)
    harness.bind(HOURLY, metadata={"tenant": "a"})
    await harness.fire_only()
    assert bytes(harness.metadata) == b'{"tenant":"a"}'


async def test_replicas_share_one_fire(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.bind(HOURLY, trigger_id="trigger-1", owner=harness.worker("worker-1"))
    harness.bind(HOURLY, trigger_id="trigger-2", owner=harness.worker("worker-2"))
    assert await harness.fire_only() == "ran"
    assert len(received) == 1


async def test_a_fire_goes_on_with_the_replica_that_is_left(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.bind(HOURLY, trigger_id="trigger-1", owner=harness.worker("worker-1"))
    second = harness.worker("worker-2")
    harness.bind(HOURLY, trigger_id="trigger-2", owner=second)
    harness.engine.disconnect(second)
    await harness.fire_only()
    assert received[0]["job_id"] == "trigger-1"


async def test_a_condition_that_answers_false_skips(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.offer("is_open", lambda _: False)
    harness.bind({**HOURLY, "condition_function_id": "is_open"})
    assert await harness.fire_only() == "skipped"
    assert received == []


@pytest.mark.parametrize("answer", [True, None, 0, "false", {"run": False}])
async def test_any_other_answer_of_the_condition_runs(harness: CronHarness, answer: Any) -> None:
    received = recorder(harness)
    harness.offer("is_open", lambda _: answer)
    harness.bind({**HOURLY, "condition_function_id": "is_open"})
    assert await harness.fire_only() == "ran"
    assert len(received) == 1


async def test_the_condition_gets_the_event_in_the_namespace_of_the_function(harness: CronHarness) -> None:
    received = recorder(harness, namespace="staging")
    asked: list[Any] = []
    harness.offer("is_open", asked.append, namespace="staging")
    elsewhere = recorder(harness)
    harness.offer("is_open", elsewhere.append)
    harness.bind({**HOURLY, "condition_function_id": "is_open"}, namespace="staging")
    await harness.fire_only()
    assert asked == received
    assert len(received) == 1
    assert elsewhere == []


async def test_a_condition_that_fails_skips(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.bind({**HOURLY, "condition_function_id": "missing"})
    assert await harness.fire_only() == "skipped"
    assert received == []


async def test_an_error_of_the_function_is_reported_as_it_is(harness: CronHarness) -> None:
    def fail(_: Any) -> None:
        raise FunctionFailedError("OUT_OF_PAPER", "the printer is empty", "at print()")

    harness.offer(FUNCTION, fail)
    harness.bind(HOURLY)
    with pytest.raises(DeliveryFailedError, match="the printer is empty") as caught:
        await harness.fire_only()
    assert (caught.value.code, caught.value.stacktrace) == ("OUT_OF_PAPER", "at print()")


async def test_a_missing_function_is_an_error_of_the_fire(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    with pytest.raises(DeliveryFailedError) as caught:
        await harness.fire_only()
    assert caught.value.code == "function_not_found"


async def test_a_bridge_without_the_trigger_says_so(harness: CronHarness) -> None:
    received = recorder(harness)
    worker = harness.worker()
    harness.bind(HOURLY, owner=worker)
    await harness.settle()
    fire = harness.schedules.only().fire
    assert fire is not None
    harness.engine.disconnect(worker)
    assert await harness.fire(fire) == "nobody"
    assert received == []


async def test_a_fire_that_comes_after_the_catch_up_window_is_skipped(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.bind({**HOURLY, "catchup_window_ms": 20_000})
    assert await harness.fire_only(late_ms=20_000) == "ran"
    assert await harness.fire_only(late_ms=20_001) == "skipped"
    assert len(received) == 1


async def test_a_bridge_without_the_trigger_gives_up_after_the_catch_up_window(harness: CronHarness) -> None:
    harness.bind(HOURLY)
    await harness.settle()
    fire = harness.schedules.only().fire
    assert fire is not None
    unknown = replace(fire, key="somebody::else/digest")
    assert await harness.fire(unknown, late_ms=unknown.catchup_window_ms) == "nobody"
    assert await harness.fire(unknown, late_ms=unknown.catchup_window_ms + 1) == "skipped"


async def test_a_fire_that_waited_for_the_one_before_it_is_not_late(harness: CronHarness) -> None:
    received = recorder(harness)
    harness.bind({**HOURLY, "overlap": "buffer_all"})
    assert await harness.fire_only(scheduled_at_ms=harness.now_ms - 3_600_000) == "ran"
    assert len(received) == 1
