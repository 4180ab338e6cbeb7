from typing import Any

import pytest

from bridge.errors import TriggerRejectedError
from tests.unit.builtins.configuration.harness import PORT_SCHEMA, ConfigurationHarness

COMMON = {
    "type": "configuration",
    "id": "api",
    "name": "API",
    "description": "Where it listens.",
    "schema": PORT_SCHEMA,
}


async def test_registering_changing_and_registering_again_are_events_with_expanded_values(
    harness: ConfigurationHarness,
) -> None:
    events = harness.recorder("watch")
    harness.bind("configuration", "watch", {"configuration_id": "api"})
    await harness.register(initial_value={"port": "${P:80}"}, metadata={"team": "web"})
    await harness.set({"port": 81})
    await harness.register()
    await harness.settle()
    assert events == [
        {
            **COMMON,
            "event_type": "configuration:registered",
            "old_value": None,
            "new_value": {"port": 80},
            "metadata": {"team": "web"},
        },
        {
            **COMMON,
            "event_type": "configuration:updated",
            "old_value": {"port": 80},
            "new_value": {"port": 81},
            "metadata": {"team": "web"},
        },
        {
            **COMMON,
            "event_type": "configuration:updated",
            "old_value": {"port": 81},
            "new_value": {"port": 81},
        },
    ]


async def test_an_equal_value_is_an_event_and_a_refused_one_is_not(harness: ConfigurationHarness) -> None:
    await harness.register(initial_value={"port": 80})
    events = harness.recorder("watch")
    harness.bind("configuration", "watch", {})
    await harness.set({"port": 80})
    await harness.refused("set", {"id": "api", "value": {"port": "x"}})
    await harness.settle()
    assert [event["new_value"] for event in events] == [{"port": 80}]


async def test_a_value_that_cannot_be_expanded_is_null_in_the_event(harness: ConfigurationHarness) -> None:
    await harness.register(initial_value={"port": 80})
    events = harness.recorder("watch")
    harness.bind("configuration", "watch", {})
    await harness.set({"port": "${UNSET}"})
    await harness.settle()
    assert [(event["old_value"], event["new_value"]) for event in events] == [({"port": 80}, None)]


@pytest.mark.parametrize(
    ("config", "fires"),
    [
        ({}, True),
        ({"configuration_id": "api"}, True),
        ({"configuration_id": "other"}, False),
        ({"event_types": ["configuration:updated"]}, True),
        ({"event_types": ["configuration:registered", "configuration:deleted"]}, False),
        ({"event_types": []}, False),
        ({"configuration_id": "api", "event_types": None, "more": 1}, True),
    ],
)
async def test_filters(harness: ConfigurationHarness, config: Any, fires: bool) -> None:
    await harness.register()
    events = harness.recorder("watch")
    harness.bind("configuration", "watch", config)
    await harness.set({"port": 80})
    await harness.settle()
    assert bool(events) is fires


@pytest.mark.parametrize("config", [None, "api", {"configuration_id": 3}, {"event_types": ["updated"]}])
async def test_an_unusable_configuration_is_rejected(harness: ConfigurationHarness, config: Any) -> None:
    with pytest.raises(TriggerRejectedError, match="configuration_id"):
        harness.bind("configuration", "watch", config)


async def test_a_condition_that_says_false_or_fails_skips_its_binding_alone(
    harness: ConfigurationHarness,
) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("no")

    await harness.register()
    harness.offer("never", lambda _: False)
    harness.offer("fails", fail)
    received = {name: harness.recorder(name) for name in ("a", "b", "c")}
    harness.bind("configuration", "a", {"condition_function_id": "never"})
    harness.bind("configuration", "b", {"condition_function_id": "fails"})
    harness.bind("configuration", "c", {})
    await harness.set({"port": 80})
    await harness.settle()
    assert {name: len(events) for name, events in received.items()} == {"a": 0, "b": 0, "c": 1}


async def test_the_bindings_of_one_event_run_one_after_another(harness: ConfigurationHarness) -> None:
    running, most = 0, 0

    async def slow(_: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await harness.configuration.entries.find("api")
        running -= 1

    await harness.register()
    harness.offer("slow", slow)
    for _ in range(3):
        harness.bind("configuration", "slow", {})
    await harness.set({"port": 80})
    await harness.settle()
    assert most == 1


class TestExpiry:
    async def abandoned(self, harness: ConfigurationHarness) -> list[Any]:
        """Register an entry, watch it and stop; returns what a watcher of all entries hears."""
        events = harness.recorder("watch")
        harness.bind("configuration", "watch", {})
        await harness.register(initial_value={"port": 80})
        for trigger_id in ("one", "two"):
            harness.bind("configuration", "nobody", {"configuration_id": "api"}, trigger_id=trigger_id)
        for trigger_id in ("one", "two"):
            harness.engine.triggers.unbind(trigger_id)
        return events

    async def test_an_entry_nobody_watches_is_deleted_after_its_time(self) -> None:
        harness = ConfigurationHarness(ttl_s=1)
        events = await self.abandoned(harness)
        assert await harness.get() == {"port": 80}
        harness.expired.set()
        await harness.settle()
        assert (await harness.refused("get", {"id": "api"})).failure_code == "NOT_FOUND"
        assert (events[-1]["event_type"], events[-1]["old_value"], events[-1]["new_value"]) == (
            "configuration:deleted",
            {"port": 80},
            None,
        )

    async def test_a_new_watcher_keeps_it(self) -> None:
        harness = ConfigurationHarness(ttl_s=1)
        await self.abandoned(harness)
        harness.bind("configuration", "nobody", {"configuration_id": "api"})
        harness.expired.set()
        await harness.settle()
        assert await harness.get() == {"port": 80}

    async def test_registering_it_again_keeps_it(self) -> None:
        harness = ConfigurationHarness(ttl_s=1)
        await self.abandoned(harness)
        await harness.register()
        harness.expired.set()
        await harness.settle()
        assert await harness.get() == {"port": 80}

    async def test_without_a_time_everything_is_kept(self, harness: ConfigurationHarness) -> None:
        await self.abandoned(harness)
        harness.expired.set()
        await harness.settle()
        assert await harness.get() == {"port": 80}
