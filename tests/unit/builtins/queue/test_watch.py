"""When the dead letters of a queue are too many, without Temporal."""

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from activities.deliveries import DeliveryFailedError
from bridge.builtins.queue import DeadLetterWatch
from bridge.engine.observation import DeadLetterLimit, QueueState
from bridge.errors import EngineError
from tests.unit.engine.peers import Bridge
from workflows.contract import AlarmStart, Tenancy

ALARM = AlarmStart(Tenancy(), "pay", "ops::alert", count=9, capacity=10, threshold=8, at_ms=1000)


class Setup:
    def __init__(self) -> None:
        self.bridge = Bridge()
        self.dead_letters = 0
        self.is_away = False
        self.told: list[Any] = []
        self.limits = {"pay": DeadLetterLimit(capacity=10, threshold=8, alert_function_id="ops::alert")}
        self.watch = DeadLetterWatch(
            self.bridge.engine,
            self.limits,
            self.read_queues,
            self,
            now_ms=lambda: 1000,
        )

    async def read_queues(self) -> Sequence[QueueState]:
        counts = {"pay": self.dead_letters, "unwatched": 1000}
        return [QueueState(name, 0, 0, 0, count) for name, count in counts.items()]

    async def begin(self, queue: str, function_id: str, **facts: int) -> None:
        if self.is_away:
            raise EngineError("away")
        self.told.append((queue, function_id, facts))

    async def end(self, queue: str) -> None:
        if self.is_away:
            raise EngineError("away")
        self.told.append(f"{queue} is well")

    async def look(self, dead_letters: int) -> list[Any]:
        """Look at so many dead letters; returns what was said because of it."""
        self.told.clear()
        self.dead_letters = dead_letters
        await self.watch.look()
        return list(self.told)


@pytest.fixture
def setup() -> Setup:
    return Setup()


def alarm_about(count: int) -> tuple[Any, ...]:
    return ("pay", "ops::alert", {"count": count, "capacity": 10, "threshold": 8, "at_ms": 1000})


async def test_a_crossing_is_told_once_and_again_after_it_was_over(setup: Setup) -> None:
    await setup.look(7)
    assert await setup.look(8) == [alarm_about(8)]
    assert await setup.look(9) == []
    assert await setup.look(7) == ["pay is well"]
    assert await setup.look(7) == []
    assert await setup.look(8) == [alarm_about(8)]


async def test_a_bridge_that_begins_ends_the_alarm_of_one_that_did_not_see_the_end(setup: Setup) -> None:
    assert await setup.look(0) == ["pay is well"]


async def test_an_alarm_ends_with_the_limit_that_it_is_about(setup: Setup) -> None:
    await setup.look(8)
    setup.limits.clear()
    assert await setup.look(9) == ["pay is well"]
    assert await setup.look(9) == []


async def test_what_temporal_did_not_hear_is_told_at_the_next_look(setup: Setup) -> None:
    setup.is_away = True
    assert await setup.look(9) == []
    setup.is_away = False
    assert await setup.look(9) == [alarm_about(9)]


async def test_the_log_says_so_with_the_remedy(setup: Setup) -> None:
    with capture_logs() as logs:
        await setup.look(9)
    (line,) = [each for each in logs if each["log_level"] == "warning"]
    assert (line["queue"], line["count"], line["threshold"], line["capacity"]) == ("pay", 9, 8, 10)
    assert "redrive" in line["event"]


async def test_the_alert_function_gets_the_documented_payload(setup: Setup) -> None:
    told: list[Any] = []
    worker = setup.bridge.connect_greeted()
    worker.say("registerfunction", id="ops::alert")
    setup.bridge.spawn(setup.watch.alert(ALARM), "alert")
    await setup.bridge.settle()
    asked = worker.take_one("invokefunction")
    told.append(asked["data"])
    worker.say("invocationresult", invocation_id=asked["invocation_id"], function_id="ops::alert")
    assert told == [{"queue": "pay", "count": 9, "capacity": 10, "threshold": 8, "at_ms": 1000}]


async def test_an_alert_function_that_nobody_offers_is_an_error_to_be_tried_again(setup: Setup) -> None:
    with pytest.raises(DeliveryFailedError) as failed:
        await setup.watch.alert(ALARM)
    assert failed.value.code == "function_not_found"
