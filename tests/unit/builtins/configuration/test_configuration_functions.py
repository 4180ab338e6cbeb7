from typing import Any

import msgspec
import pytest

from bridge.engine.access import Access, AccessRules
from bridge.engine.calls import Call
from bridge.engine.workers import Worker
from bridge.protocol import payload
from bridge.storage import MemoryStore
from tests.unit.builtins.configuration.harness import PORT_SCHEMA, ConfigurationHarness

ABOUT = {"id": "api", "name": "API", "description": "Where it listens.", "schema": PORT_SCHEMA}


async def test_register_answers_the_whole_entry_and_stores_null_without_an_initial_value(
    harness: ConfigurationHarness,
) -> None:
    assert await harness.register() == {**ABOUT, "value": None}
    assert await harness.get() is None


async def test_register_keeps_the_initial_value_and_the_metadata(harness: ConfigurationHarness) -> None:
    entry = await harness.register(initial_value={"port": 80}, metadata={"team": "web"})
    assert entry == {**ABOUT, "value": {"port": 80}, "metadata": {"team": "web"}}


async def test_registering_again_replaces_all_but_the_value(harness: ConfigurationHarness) -> None:
    await harness.register(initial_value={"port": 80})
    entry = await harness.call("configuration::register", {**ABOUT, "name": "Web", "schema": {}})
    assert (entry["name"], entry["schema"], entry["value"]) == ("Web", {}, {"port": 80})


async def test_a_tighter_schema_does_not_judge_the_stored_value_but_the_next_one(
    harness: ConfigurationHarness,
) -> None:
    await harness.register(initial_value={"port": 80})
    tighter = {"type": "object", "properties": {"port": {"minimum": 1000}}}
    assert (await harness.register(schema=tighter))["value"] == {"port": 80}
    error = await harness.refused("set", {"id": "api", "value": {"port": 81}})
    assert error.failure_code == "SCHEMA_INVALID"
    assert (await harness.refused("get", {"id": "api"})).failure_code == "SCHEMA_INVALID"


async def test_set_answers_both_values_as_they_were_given(harness: ConfigurationHarness) -> None:
    await harness.register(initial_value={"port": 80})
    assert await harness.set({"port": "${P:81}"}) == {
        "old_value": {"port": 80},
        "new_value": {"port": "${P:81}"},
    }
    assert await harness.get(raw=True) == {"port": "${P:81}"}


async def test_value_text_is_kept_as_it_came(harness: ConfigurationHarness) -> None:
    await harness.register(schema={})
    text = b'{"id":"api","value":{"n":1.50,"big":123456789012345678901234567890}}'
    await harness.call_raw("configuration::set", text)
    answer = await harness.call_raw("configuration::get", b'{"id":"api","raw":true}')
    assert bytes(answer) == text


async def test_every_problem_is_named_with_its_place(harness: ConfigurationHarness) -> None:
    await harness.register(
        schema={"type": "object", "properties": {"a": {"items": {"type": "integer"}}, "b": {"maximum": 3}}}
    )
    error = await harness.refused("set", {"id": "api", "value": {"a": [1, "x"], "b": 9}})
    assert error.failure_code == "SCHEMA_INVALID"
    assert error.message == (
        'schema validation failed: a[1]: "x" is not of type "integer"; b: 9 is greater than the maximum of 3'
    )
    assert await harness.get() is None


@pytest.mark.parametrize(
    "schema", [None, 3, "x", {"type": "nope"}, {"pattern": "("}, {"$ref": "http://127.0.0.1:9/x"}]
)
async def test_what_is_no_schema_is_refused(harness: ConfigurationHarness, schema: Any) -> None:
    error = await harness.refused("register", {**ABOUT, "schema": schema})
    assert error.failure_code == "SCHEMA_INVALID"
    assert (await harness.call("configuration::list", {})) == {"configurations": []}


async def test_a_pattern_that_backtracks_holds_nobody_up(harness: ConfigurationHarness) -> None:
    await harness.register(schema={"pattern": "^(a+)+$"})
    error = await harness.refused("set", {"id": "api", "value": "a" * 5000 + "!"})
    assert error.failure_code == "SCHEMA_INVALID"


@pytest.mark.parametrize("entry_id", ["", "Api", "a" * 65, "a.b", "ä", "../etc"])
@pytest.mark.parametrize("function_id", ["register", "set"])
async def test_an_id_has_few_characters(
    harness: ConfigurationHarness, entry_id: str, function_id: str
) -> None:
    error = await harness.refused(function_id, {**ABOUT, "id": entry_id, "value": {}})
    assert error.failure_code == "INVALID_ID"


async def test_what_is_not_there_is_said_with_the_code_of_its_function(harness: ConfigurationHarness) -> None:
    assert (await harness.refused("set", {"id": "api", "value": {}})).failure_code == "NOT_REGISTERED"
    assert (await harness.refused("get", {"id": "api"})).failure_code == "NOT_FOUND"
    assert (await harness.refused("schema", {"id": "api"})).failure_code == "NOT_FOUND"


async def test_list_and_schema_tell_everything_but_the_values(harness: ConfigurationHarness) -> None:
    await harness.register("b", initial_value={"port": 1234}, metadata=7)
    await harness.register("a")
    row = {**ABOUT, "id": "b", "metadata": 7}
    assert await harness.call("configuration::list", {}) == {"configurations": [{**ABOUT, "id": "a"}, row]}
    assert await harness.call("configuration::schema", {"id": "b"}) == row


async def test_entries_survive_a_restart_with_their_schema() -> None:
    store = MemoryStore()
    first = ConfigurationHarness(store=store)
    await first.register(initial_value={"port": 80})
    second = ConfigurationHarness(store=store)
    assert await second.get() == {"port": 80}
    assert (
        await second.refused("set", {"id": "api", "value": {"port": "x"}})
    ).failure_code == "SCHEMA_INVALID"


async def test_an_entry_larger_than_a_mebibyte_is_refused(harness: ConfigurationHarness) -> None:
    await harness.register(schema={})
    error = await harness.refused("set", {"id": "api", "value": "x" * 1024 * 1024})
    assert error.failure_code == "ADAPTER_ERROR"
    assert await harness.get() is None


async def test_a_value_nested_too_deeply_is_refused(harness: ConfigurationHarness) -> None:
    await harness.register(schema={})
    deep = b'{"id":"api","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    outcome = await harness.engine.invoke(Call("configuration::set", msgspec.Raw(deep)))
    assert outcome.error is not None
    assert outcome.error.code == "deserialization_error"


async def test_a_store_that_is_gone_is_an_adapter_error() -> None:
    store = MemoryStore()
    harness = ConfigurationHarness(store=store)
    await store.close()
    for function_id in ("register", "set", "get", "list", "schema"):
        error = await harness.refused(function_id, {**ABOUT, "value": {}})
        assert error.failure_code == "ADAPTER_ERROR"


class TestPlaceholders:
    async def test_they_are_replaced_when_the_value_is_read(self, harness: ConfigurationHarness) -> None:
        await harness.register(initial_value={"port": "${P:3111}", "host": "h-${ZONE:eu}"})
        assert await harness.get() == {"port": 3111, "host": "h-eu"}
        harness.environ |= {"P": "8080", "ZONE": "us"}
        assert await harness.get() == {"port": 8080, "host": "h-us"}
        assert await harness.get(raw=True) == {"port": "${P:3111}", "host": "h-${ZONE:eu}"}

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("8080", 8080),
            ("true", True),
            ("1.5", 1.5),
            ("word", "word"),
            ("on", "on"),
            ("off", "off"),
            ("007", "007"),
            ("", ""),
        ],
    )
    async def test_a_lone_one_is_read_as_in_the_file(
        self, harness: ConfigurationHarness, variable: str, meant: Any
    ) -> None:
        await harness.register(schema={}, initial_value=["${V}", "v${V}"])
        harness.environ["V"] = variable
        assert await harness.get() == [meant, f"v{variable}"]

    async def test_two_of_them_stay_text(self, harness: ConfigurationHarness) -> None:
        await harness.register(schema={}, initial_value="${A:1}${B:2}")
        assert await harness.get() == "12"

    async def test_an_unset_variable_is_found_when_reading_not_when_setting(
        self, harness: ConfigurationHarness
    ) -> None:
        await harness.register()
        await harness.set({"port": "${P}"})
        error = await harness.refused("get", {"id": "api"})
        assert error.failure_code == "EXPAND_FAILED"
        assert "'P'" in error.message
        assert await harness.get(raw=True) == {"port": "${P}"}
        harness.environ["P"] = "99999"
        assert (await harness.refused("get", {"id": "api"})).failure_code == "SCHEMA_INVALID"

    async def test_the_value_they_mean_is_the_one_that_is_checked(
        self, harness: ConfigurationHarness
    ) -> None:
        await harness.register()
        error = await harness.refused("set", {"id": "api", "value": {"port": "${P:word}"}})
        assert error.failure_code == "SCHEMA_INVALID"

    @pytest.mark.parametrize("function_id", ["register", "set"])
    async def test_no_session_with_rules_reads_the_environment_with_them(
        self, harness: ConfigurationHarness, function_id: str
    ) -> None:
        worker = Worker(
            "w", lambda _: None, lambda: None, "token", 0, access=Access(AccessRules(is_guarded=True))
        )
        await harness.register()
        value = {"host": "${SECRET:}"}
        data = payload.encode({**ABOUT, "value": value, "initial_value": value})
        outcome = await harness.engine.invoke(Call(f"configuration::{function_id}", data, caller=worker))
        assert outcome.error is not None
        assert outcome.error.code == "FORBIDDEN"
        assert await harness.get(raw=True) is None


class TestEntriesOfTheBridge:
    async def test_they_follow_the_file_until_somebody_sets_them(self, harness: ConfigurationHarness) -> None:
        owner = harness.own()
        assert await harness.get("iii-http") == {"port": 3111}
        owner.from_file = {"port": 3222}
        assert await harness.get("iii-http") == {"port": 3222}
        assert await harness.set({"port": 4000}, "iii-http") == {
            "old_value": {"port": 3222},
            "new_value": {"port": 4000},
        }
        owner.from_file = {"port": 3333}
        assert await harness.get("iii-http") == {"port": 4000}

    async def test_null_lets_them_follow_the_file_again(self, harness: ConfigurationHarness) -> None:
        harness.own()
        await harness.set({"port": 4000}, "iii-http")
        await harness.set(None, "iii-http")
        assert await harness.get("iii-http") == {"port": 3111}

    async def test_their_worker_is_told_of_every_change(self, harness: ConfigurationHarness) -> None:
        owner = harness.own()
        await harness.set({"port": 4000}, "iii-http")
        await harness.settle()
        assert owner.told == 1
        assert await harness.call("iii-http::on-config-change", {"anything": 1}) == {"ok": True}
        assert owner.told == 2

    async def test_a_value_their_worker_cannot_use_is_refused(self, harness: ConfigurationHarness) -> None:
        owner = harness.own()
        error = await harness.refused("set", {"id": "iii-http", "value": {"port": 1}})
        assert (error.failure_code, error.message) == ("SCHEMA_INVALID", "port 1 is never right")
        await harness.settle()
        assert owner.told == 0

    async def test_nobody_else_registers_them(self, harness: ConfigurationHarness) -> None:
        harness.own()
        error = await harness.refused("register", {**ABOUT, "id": "iii-http", "schema": {}})
        assert error.failure_code == "INVALID_ID"

    async def test_they_are_listed(self, harness: ConfigurationHarness) -> None:
        harness.own()
        await harness.register()
        rows = (await harness.call("configuration::list", {}))["configurations"]
        assert [row["id"] for row in rows] == ["api", "iii-http"]

    async def test_their_function_and_trigger_are_internal(self, harness: ConfigurationHarness) -> None:
        harness.own()
        function = harness.engine.functions.find("iii-http::on-config-change")
        assert function is not None
        assert function.schema.metadata == msgspec.Raw(b'{"internal":true}')
        binding = harness.engine.triggers.find("iii-http::config-watch")
        assert binding is not None
        assert (binding.trigger_type, binding.function_id) == ("configuration", "iii-http::on-config-change")


@pytest.mark.parametrize("data", [None, [], {}, {"id": 3}, {"id": "api"}])
async def test_input_of_another_shape_is_a_deserialization_error(
    harness: ConfigurationHarness, data: Any
) -> None:
    assert (await harness.refused("set", data)).failure_code == "deserialization_error"
