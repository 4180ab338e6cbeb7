import asyncio
import json
from typing import Any

import msgspec
import pytest

from bridge.builtins.state import State, StateSettings
from bridge.engine.calls import Call
from bridge.errors import FunctionFailedError, StorageError
from bridge.protocol.payload import ABSENT, NULL
from bridge.storage import LocalBroker, MemoryStore
from tests.unit.builtins.state.engine_harness import NO_RESULT, EngineHarness

ORDER = {"scope": "orders", "key": "o-17"}


def harness_with(settings: StateSettings) -> EngineHarness:
    harness = EngineHarness()
    State(MemoryStore(), LocalBroker(), settings).register(harness.engine)
    return harness


async def failure(harness: EngineHarness, function_id: str, data: Any) -> FunctionFailedError:
    with pytest.raises(FunctionFailedError) as caught:
        await harness.call(function_id, data)
    return caught.value


async def test_first_write_answers_a_null_old_value(harness: EngineHarness) -> None:
    answer = await harness.call("state::set", {**ORDER, "value": {"total": 12}})
    assert answer == {"old_value": None, "new_value": {"total": 12}}


async def test_overwriting_answers_the_old_value_and_replaces_the_whole(harness: EngineHarness) -> None:
    await harness.call("state::set", {**ORDER, "value": {"total": 12, "note": "x"}})
    answer = await harness.call("state::set", {**ORDER, "value": {"total": 15}})
    assert answer == {"old_value": {"total": 12, "note": "x"}, "new_value": {"total": 15}}
    assert await harness.call("state::get", ORDER) == {"total": 15}


async def test_getting_what_is_not_there_gives_no_result(harness: EngineHarness) -> None:
    assert await harness.call("state::get", ORDER) is NO_RESULT


async def test_a_stored_null_is_a_result(harness: EngineHarness) -> None:
    await harness.call("state::set", {**ORDER, "value": None})
    assert await harness.call_raw("state::get", json.dumps(ORDER).encode()) == NULL


async def test_data_is_accepted_in_place_of_value(harness: EngineHarness) -> None:
    await harness.call("state::set", {**ORDER, "data": 7})
    assert await harness.call("state::get", ORDER) == 7


async def test_value_text_is_kept_as_it_came(harness: EngineHarness) -> None:
    number = b"123456789012345678901234567890.5e-3"
    await harness.call_raw("state::set", b'{"scope":"s","key":"k","value": %b }' % number)
    assert await harness.call_raw("state::get", b'{"scope":"s","key":"k"}') == msgspec.Raw(number)


async def test_empty_and_odd_names_are_ordinary_names(harness: EngineHarness) -> None:
    names = ["", "a:b", "a b/c", "ü%", "*"]
    for name in names:
        await harness.call("state::set", {"scope": name, "key": name, "value": name})
    for name in names:
        assert await harness.call("state::get", {"scope": name, "key": name}) == name
    assert await harness.call("state::list_groups", {}) == {"groups": sorted(names, key=str.encode)}


async def test_deleting_answers_the_bare_value_and_then_nothing(harness: EngineHarness) -> None:
    await harness.call("state::set", {**ORDER, "value": [1]})
    assert await harness.call("state::delete", ORDER) == [1]
    assert await harness.call("state::get", ORDER) is NO_RESULT
    assert await harness.call("state::delete", ORDER) is NO_RESULT


async def test_concurrent_deletes_give_the_value_to_one_caller_only(harness: EngineHarness) -> None:
    await harness.call("state::set", {**ORDER, "value": "prize"})
    answers = await asyncio.gather(*(harness.call("state::delete", ORDER) for _ in range(5)))
    assert answers.count("prize") == 1


async def test_list_keeps_the_order_of_first_insertion(harness: EngineHarness) -> None:
    for key in "cabde":
        await harness.call("state::set", {"scope": "s", "key": key, "value": key})
    await harness.call("state::set", {"scope": "s", "key": "a", "value": "A"})
    await harness.call("state::update", {"scope": "s", "key": "b", "ops": []})
    await harness.call("state::delete", {"scope": "s", "key": "c"})
    await harness.call("state::set", {"scope": "s", "key": "c", "value": "C"})
    assert await harness.call("state::list", {"scope": "s"}) == ["A", "b", "d", "e", "C"]


async def test_list_of_an_unknown_scope_is_empty(harness: EngineHarness) -> None:
    assert await harness.call("state::list", {"scope": "nowhere"}) == []


async def test_list_groups_is_sorted_and_hides_emptied_scopes(harness: EngineHarness) -> None:
    for scope in ("orders", "audit", "orders", "gone"):
        await harness.call("state::set", {"scope": scope, "key": "k", "value": 1})
    await harness.call("state::delete", {"scope": "gone", "key": "k"})
    assert await harness.call("state::list_groups", {}) == {"groups": ["audit", "orders"]}


async def test_update_answers_old_new_and_the_failed_operations(harness: EngineHarness) -> None:
    ops = [
        {"type": "increment", "path": "turns", "by": 1},
        {"type": "append", "path": ["log", "lines"], "value": "hi"},
    ]
    answer = await harness.call("state::update", {**ORDER, "ops": ops})
    assert answer == {"old_value": None, "new_value": {"turns": 1, "log": {"lines": ["hi"]}}}

    answer = await harness.call(
        "state::update", {**ORDER, "ops": [ops[0], {"type": "increment", "path": "log", "by": 1}]}
    )
    assert answer["new_value"] == {"turns": 2, "log": {"lines": ["hi"]}}
    [error] = answer["errors"]
    assert (error["op_index"], error["code"]) == (1, "increment.not_number")
    assert "log" in error["message"]
    assert error["doc_url"] == "https://iii.dev/docs/workers/iii-state#error-codes"


async def test_update_paths_are_literal_unless_dotted_paths_is_set(harness: EngineHarness) -> None:
    update = {**ORDER, "ops": [{"type": "set", "path": "user.name", "value": "ann"}]}
    assert (await harness.call("state::update", update))["new_value"] == {"user.name": "ann"}

    dotted = harness_with(StateSettings(dotted_paths=True))
    assert (await dotted.call("state::update", update))["new_value"] == {"user": {"name": "ann"}}


async def test_concurrent_updates_and_sets_lose_nothing(harness: EngineHarness) -> None:
    increment = {**ORDER, "ops": [{"type": "increment", "path": "n", "by": 2}]}
    other = {"scope": "orders", "key": "other", "value": 0}
    await asyncio.gather(
        *(harness.call("state::update", increment) for _ in range(500)), harness.call("state::set", other)
    )
    assert await harness.call("state::get", ORDER) == {"n": 1000}


@pytest.mark.parametrize(
    ("function_id", "data"),
    [
        ("state::set", {"scope": "s", "key": "k"}),
        ("state::set", {"scope": "s", "key": "k", "value": 1, "data": 1}),
        ("state::set", {"scope": 1, "key": "k", "value": 1}),
        ("state::set", {"group_id": "s", "item_id": "k", "value": 1}),
        ("state::set", {"scope": "s", "key": "k", "value": 1, "expected_version": -1}),
        ("state::get", {"scope": "s"}),
        ("state::delete", {"key": "k"}),
        ("state::update", {"scope": "s", "key": "k"}),
        ("state::update", {"scope": "s", "key": "k", "ops": [{"type": "explode", "path": "a"}]}),
        ("state::update", {"scope": "s", "key": "k", "ops": [{"type": "increment", "path": "a", "by": 1.5}]}),
        ("state::update", {"scope": "s", "key": "k", "ops": [], "expected_version": 1}),
        ("state::list", {}),
        ("state::list", None),
        ("state::list_groups", None),
        ("state::list_groups", []),
    ],
)
async def test_bad_input_is_refused_before_anything_is_written(
    harness: EngineHarness, function_id: str, data: Any
) -> None:
    assert (await failure(harness, function_id, data)).failure_code == "deserialization_error"
    assert await harness.call("state::list_groups", {}) == {"groups": []}


async def test_unknown_fields_are_ignored(harness: EngineHarness) -> None:
    await harness.call("state::set", {**ORDER, "value": 1, "_caller_worker_id": "w", "colour": "red"})
    assert await harness.call("state::list_groups", {"colour": "red"}) == {"groups": ["orders"]}


async def test_a_value_over_the_limit_is_refused_and_not_written() -> None:
    harness = harness_with(StateSettings(max_value_bytes=10))
    assert (
        await failure(harness, "state::set", {**ORDER, "value": "123456789"})
    ).failure_code == "VALUE_TOO_LARGE"
    assert await harness.call("state::get", ORDER) is NO_RESULT
    for fits in ("12345678", 7):
        await harness.call("state::set", {**ORDER, "value": fits})
        assert await harness.call("state::get", ORDER) == fits


async def test_an_update_may_go_beyond_the_limit() -> None:
    harness = harness_with(StateSettings(max_value_bytes=10))
    await harness.call("state::update", {**ORDER, "ops": [{"type": "append", "value": "beyond the limit"}]})
    assert await harness.call("state::get", ORDER) == "beyond the limit"


async def test_the_limit_counts_compact_json_and_not_what_was_sent() -> None:
    harness = harness_with(StateSettings(max_value_bytes=10))
    request = b'{"scope":"s","key":"k","value":%b}'
    await harness.call_raw("state::set", request % b'[ 1,\n 2, "\\u0041B" ]')  # 10 bytes as [1,2,"AB"]
    with pytest.raises(FunctionFailedError, match="has 11 bytes"):
        await harness.call_raw("state::set", request % b'[ 1,\n 2, 3, "\\u0041" ]')


async def test_a_value_that_cannot_be_measured_is_refused() -> None:
    harness = harness_with(StateSettings(max_value_bytes=3))
    with pytest.raises(FunctionFailedError) as caught:
        await harness.call_raw("state::set", b'{"scope":"s","key":"k","value":1e999}')
    assert caught.value.failure_code == "deserialization_error"


@pytest.mark.parametrize(
    ("function_id", "data", "code"),
    [
        ("state::set", {**ORDER, "value": 1}, "SET_ERROR"),
        ("state::get", ORDER, "GET_ERROR"),
        ("state::delete", ORDER, "DELETE_ERROR"),
        ("state::update", {**ORDER, "ops": []}, "UPDATE_ERROR"),
        ("state::list", {"scope": "s"}, "LIST_ERROR"),
        ("state::list_groups", {}, "LIST_GROUPS_ERROR"),
    ],
)
async def test_a_failing_store_is_reported_with_the_code_of_the_function(
    function_id: str, data: Any, code: str
) -> None:
    store = MemoryStore()
    await store.close()
    harness = EngineHarness()
    State(store, LocalBroker(), StateSettings()).register(harness.engine)
    error = await failure(harness, function_id, data)
    assert error.failure_code == code
    assert StorageError.code not in error.message
    assert "closed" in error.message


class TestCompareAndSet:
    async def test_create_only_if_missing(self, harness: EngineHarness) -> None:
        answer = await harness.call("state::set", {**ORDER, "value": "a", "expected_version": 0})
        assert answer == {"old_value": None, "new_value": "a", "version": 1}
        error = await failure(harness, "state::set", {**ORDER, "value": "b", "expected_version": 0})
        assert error.failure_code == "VERSION_CONFLICT"
        assert "version 1" in error.message
        assert await harness.call("state::get", ORDER) == "a"

    async def test_read_change_and_write_back(self, harness: EngineHarness) -> None:
        assert await harness.call("state::get", {**ORDER, "with_version": True}) == {
            "value": None,
            "version": 0,
        }
        await harness.call("state::set", {**ORDER, "value": "a"})
        await harness.call("state::update", {**ORDER, "ops": [{"type": "append", "value": "b"}]})
        read = await harness.call("state::get", {**ORDER, "with_version": True})
        assert read == {"value": "ab", "version": 2}
        answer = await harness.call("state::set", {**ORDER, "value": "c", "expected_version": 2})
        assert answer["version"] == 3

    async def test_delete_only_what_was_read(self, harness: EngineHarness) -> None:
        await harness.call("state::set", {**ORDER, "value": "a"})
        await harness.call("state::set", {**ORDER, "value": "b"})
        assert (
            await failure(harness, "state::delete", {**ORDER, "expected_version": 1})
        ).failure_code == "VERSION_CONFLICT"
        assert await harness.call("state::delete", {**ORDER, "expected_version": 2}) == "b"

    async def test_of_many_writers_expecting_one_version_one_wins(self, harness: EngineHarness) -> None:
        async def attempt(writer: int) -> bool:
            outcome = await harness.engine.invoke(
                Call(
                    "state::set",
                    msgspec.Raw(json.dumps({**ORDER, "value": writer, "expected_version": 0}).encode()),
                )
            )
            return outcome.error is None

        assert sum(await asyncio.gather(*(attempt(writer) for writer in range(50)))) == 1

    async def test_a_plain_write_does_not_mention_versions(self, harness: EngineHarness) -> None:
        assert "version" not in await harness.call("state::set", {**ORDER, "value": 1})


async def test_every_function_shows_its_schema(harness: EngineHarness) -> None:
    for function in harness.engine.functions:
        assert function.owner_name == "iii-state"
        assert function.schema.description
        assert json.loads(bytes(function.schema.request_format))["type"] == "object"
    assert ABSENT not in [t.configuration_schema for t in harness.engine.triggers.types]
