"""`engine::health::check`, `engine::sampling::rules` and `engine::baggage::*` (spec 05 §6.1, §6.5)."""

import json
from dataclasses import replace

from bridge.builtins.observability import Destination, ObservabilitySettings, SamplingRule, SamplingSettings
from bridge.engine.calls import Call
from bridge.protocol import payload
from tests.unit.builtins.observability.harness import T0_MS, Harness, span

SETTINGS = ObservabilitySettings(version="1.2.3", print_logs=False)


async def test_health_tells_what_is_switched_on_and_how_much_is_kept(harness: Harness) -> None:
    await harness.call("engine::log::info", {"message": "x"})
    harness.send_spans(span("s1"))

    assert await harness.call("engine::health::check", {}) == {
        "status": "healthy",
        "version": "1.2.3",
        "timestamp": T0_MS,
        "components": {
            "otel": {
                "status": "healthy",
                "details": {"enabled": True, "service_name": "iii", "exporter": "Some(Memory)"},
            },
            "metrics": {"status": "healthy", "details": {"stored_metrics": 0}},
            "logs": {"status": "healthy", "details": {"stored_logs": 1}},
            "spans": {"status": "healthy", "details": {"stored_spans": 1}},
        },
    }


async def test_what_is_switched_off_is_disabled_and_the_whole_still_healthy() -> None:
    off = Destination()
    harness = Harness(replace(SETTINGS, traces=off, logs=off, metrics=off))
    health = await harness.call("engine::health::check", {})

    assert health["status"] == "healthy"
    assert set(map(str, health["components"].values())) == {str({"status": "disabled", "details": None})}
    await harness.aclose()


async def test_the_sampling_rules_are_those_of_the_configuration() -> None:
    sampling = SamplingSettings(default=0.5, rules=(SamplingRule("pay", None, 1.0),))
    harness = Harness(replace(SETTINGS, sampling=sampling, logs_sampling_ratio=0.1))

    assert await harness.call("engine::sampling::rules", {}) == {
        "traces": {
            "default_ratio": 0.5,
            "rules": [{"operation": "pay", "service": None, "rate": 1.0}],
            "parent_based": True,
        },
        "logs": {"sampling_ratio": 0.1},
        "timestamp": T0_MS,
    }
    await harness.aclose()


async def test_baggage_is_that_of_the_call(harness: Harness) -> None:
    async def call(function: str, data: object) -> object:
        baggage = "tenant=7;secret, user=8"
        call = Call(f"engine::baggage::{function}", payload.encode(data), baggage=baggage)
        return json.loads(bytes((await harness.engine.invoke(call)).unwrap()))

    assert await call("get", {"key": "tenant"}) == {"value": "7"}
    assert await call("get", {"key": "other"}) == {"value": None}
    assert await call("get_all", {}) == {"baggage": {"tenant": "7", "user": "8"}}
    answer = await call("set", {"key": "a", "value": "b"})
    assert isinstance(answer, dict)
    assert (answer["success"], set(answer)) == (True, {"success", "note"})
