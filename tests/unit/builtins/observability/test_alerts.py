"""`engine::alerts::*`, and what happens when an alert fires (spec 05 §6.5)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from bridge.builtins.observability import AlertAction, AlertRule, ObservabilitySettings
from bridge.builtins.observability.alerts import Alerts
from bridge.engine.calls import Call
from bridge.engine.functions import Function
from bridge.protocol import payload
from tests.unit.builtins.observability.harness import T0_MS, Harness
from tests.unit.builtins.observability.test_metrics import gauge, point

SETTINGS = ObservabilitySettings(version="1.2.3", print_logs=False)
LOG = AlertAction("log")


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("bridge.builtins.observability.alerts._RETRY_AFTER_S", (0, 0, 0))

    def build(operator: str = ">", action: AlertAction = LOG, metric: str = "cpu") -> Harness:
        return Harness(replace(SETTINGS, alerts=(AlertRule("hot", metric, 5, operator, action),)))

    return build


async def evaluate(harness: Harness) -> dict[str, Any]:
    answer: dict[str, Any] = await harness.call("engine::alerts::evaluate", {})
    await harness.settle()
    return answer


@pytest.mark.parametrize(
    ("operator", "firing_at"),
    [
        (">", [6]),
        ("greaterthan", [6]),
        (">=", [5, 6]),
        ("greaterthanorequal", [5, 6]),
        ("<", [4]),
        ("lessthan", [4]),
        ("<=", [4, 5]),
        ("lessthanorequal", [4, 5]),
        ("==", [5]),
        ("equal", [5]),
        ("!=", [4, 6]),
        ("notequal", [4, 6]),
    ],
)
async def test_every_operator_compares_as_it_says(build: Any, operator: str, firing_at: list[int]) -> None:
    harness = build(operator)
    firing = []
    for value in (4, 5, 6):
        harness.send_metrics(gauge("cpu", point(value)))
        if (await evaluate(harness))["triggered_alerts"]:
            firing.append(value)

    assert firing == firing_at


async def test_a_firing_alert_has_exactly_the_documented_shapes(build: Any) -> None:
    harness = build()
    harness.send_metrics(gauge("cpu", point(9)))

    assert await evaluate(harness) == {
        "evaluated": True,
        "triggered_alerts": [
            {
                "name": "hot",
                "metric": "cpu",
                "value": 9.0,
                "threshold": 5,
                "operator": ">",
                "firing": True,
                "timestamp": T0_MS,
            }
        ],
        "timestamp": T0_MS,
    }
    assert await harness.call("engine::alerts::list", {}) == {
        "alerts": [
            {
                "name": "hot",
                "threshold": 5,
                "operator": ">",
                "firing": True,
                "last_evaluated": T0_MS,
                "last_triggered": T0_MS,
                "current_value": 9.0,
            }
        ],
        "rules": [
            {"name": "hot", "metric": "cpu", "threshold": 5, "operator": ">", "action": {"type": "log"}}
        ],
        "firing_count": 1,
        "timestamp": T0_MS,
    }


async def test_without_rules_the_functions_say_so(harness: Harness) -> None:
    listed = await harness.call("engine::alerts::list", {})
    evaluated = await harness.call("engine::alerts::evaluate", {})

    assert (listed["alerts"], listed["firing_count"]) == ([], 0)
    assert evaluated["evaluated"] is False
    assert "alerts" in listed["message"] == evaluated["message"]


async def test_an_unknown_metric_fires_nothing(build: Any) -> None:
    harness = build("<")
    assert (await evaluate(harness))["triggered_alerts"] == []
    (alert,) = (await harness.call("engine::alerts::list", {}))["alerts"]

    assert (alert["current_value"], alert["last_triggered"]) == (None, None)


async def test_what_the_engine_counts_can_be_watched(build: Any) -> None:
    harness = build(">=", metric="iii.invocations.error")
    for _ in range(5):
        await harness.engine.invoke(Call("nobody", payload.encode({})))

    assert len((await evaluate(harness))["triggered_alerts"]) == 1


async def test_an_alert_acts_when_it_begins_to_fire_and_again_after_it_has_stopped(build: Any) -> None:
    harness = build(action=AlertAction("function", "ops::page"))
    received = worker_function(harness, "ops::page")
    for value in (9, 9, 1, 9):
        harness.send_metrics(gauge("cpu", point(value)))
        await evaluate(harness)

    assert received == 2 * [
        {"alert": "hot", "metric": "cpu", "value": 9.0, "threshold": 5, "operator": ">", "timestamp": T0_MS}
    ]


async def test_a_function_of_the_bridge_is_not_called(build: Any) -> None:
    harness = build(action=AlertAction("function", "state::delete"))
    received = harness.recorder("state::delete")
    harness.send_metrics(gauge("cpu", point(9)))
    with structlog.testing.capture_logs() as lines:
        await evaluate(harness)

    assert received == []
    assert "function of the bridge itself" in lines[-1]["reason"]


async def test_an_alert_can_be_a_line_in_the_log(build: Any) -> None:
    harness = build()
    harness.send_metrics(gauge("cpu", point(9)))
    with structlog.testing.capture_logs() as lines:
        await evaluate(harness)

    assert {"event": "alert fires", "alert": "hot", "log_level": "warning"}.items() <= lines[0].items()


@pytest.mark.parametrize(("refused", "arrives"), [(0, True), (3, True), (4, False)])
async def test_a_webhook_is_tried_four_times(build: Any, refused: int, arrives: bool) -> None:
    harness = build(action=AlertAction("webhook", "https://ops.example/alert"))
    harness.refused_posts = refused
    harness.send_metrics(gauge("cpu", point(9)))
    await evaluate(harness)

    assert [url for url, _ in harness.posted] == (["https://ops.example/alert"] if arrives else [])
    assert harness.refused_posts == 0


async def test_rules_are_evaluated_every_ten_seconds(harness: Harness) -> None:
    pauses: list[float] = []
    values: list[float | None] = []

    async def sleep(duration_s: float) -> None:
        pauses.append(duration_s)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    def read(_: str) -> float | None:
        values.append(None)
        return None

    alerts = Alerts(
        [AlertRule("hot", "cpu", 5, ">", LOG)],
        read,
        harness.engine,
        post=lambda _url, _body: sleep(0),
        now_ns=lambda: 0,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await alerts.run()

    assert pauses == [10, 10, 10]
    assert len(values) == 3


def worker_function(harness: Harness, function_id: str) -> list[Any]:
    """Offer a function that a worker registered, and return what it was given."""
    received = harness.recorder(function_id)
    offered = harness.engine.functions.find(function_id)
    assert offered is not None
    registrar: Any = type("Registrar", (), {})()
    harness.engine.functions.offer(Function(function_id, "default", offered.provider, registrar=registrar))
    return received
