import asyncio
import json
from typing import Any

import pytest

from bridge.builtins.stream import StreamSettings
from bridge.errors import FunctionFailedError
from bridge.protocol.payload import NULL
from tests.unit.builtins.state.engine_harness import NO_RESULT
from tests.unit.builtins.stream.conftest import StreamHarness

GROUP = {"stream_name": "chat", "group_id": "room-7"}
ITEM = {**GROUP, "item_id": "m1"}


async def failure(harness: StreamHarness, function_id: str, data: Any) -> FunctionFailedError:
    with pytest.raises(FunctionFailedError) as caught:
        await harness.call(function_id, data)
    return caught.value


async def test_set_answers_old_and_new(harness: StreamHarness) -> None:
    assert await harness.write({"id": "m1"}) == {"old_value": None, "new_value": {"id": "m1"}}
    assert await harness.write(None) == {"old_value": {"id": "m1"}, "new_value": None}


async def test_get_answers_the_bare_item_or_nothing(harness: StreamHarness) -> None:
    assert await harness.call("stream::get", ITEM) is NO_RESULT
    await harness.write({"id": "m1"})
    assert await harness.call("stream::get", ITEM) == {"id": "m1"}


async def test_delete_answers_the_old_value_in_an_object(harness: StreamHarness) -> None:
    await harness.write({"id": "m1"})
    assert await harness.call("stream::delete", ITEM) == {"old_value": {"id": "m1"}}
    assert await harness.call("stream::delete", ITEM) == {"old_value": None}
    assert await harness.call("stream::get", ITEM) is NO_RESULT


async def test_update_answers_old_new_and_the_failed_operations(harness: StreamHarness) -> None:
    merges = [
        {"type": "merge", "path": "s", "value": {"a": 1}},
        {"type": "merge", "path": "s", "value": {"b": 2}},
    ]
    answer = await harness.call("stream::update", {**ITEM, "ops": merges})
    assert answer == {"old_value": None, "new_value": {"s": {"a": 1, "b": 2}}}
    answer = await harness.call(
        "stream::update", {**ITEM, "ops": [{"type": "increment", "path": "s", "by": 1}]}
    )
    assert [error["code"] for error in answer["errors"]] == ["increment.not_number"]


async def test_dotted_paths_walk_when_they_are_switched_on() -> None:
    update = {**ITEM, "ops": [{"type": "set", "path": "a.b", "value": 1}]}
    assert (await StreamHarness().call("stream::update", update))["new_value"] == {"a.b": 1}
    dotted = StreamHarness(StreamSettings(dotted_paths=True))
    assert (await dotted.call("stream::update", update))["new_value"] == {"a": {"b": 1}}


async def test_concurrent_updates_lose_nothing(harness: StreamHarness) -> None:
    update = {**ITEM, "ops": [{"type": "append", "path": "log", "value": [1]}]}
    await asyncio.gather(*(harness.call("stream::update", update) for _ in range(100)))
    assert len((await harness.call("stream::get", ITEM))["log"]) == 100


async def test_list_keeps_the_order_of_first_insertion(harness: StreamHarness) -> None:
    for item in "cab":
        await harness.write(item, item)
    await harness.write("C", "c")
    assert await harness.call("stream::list", GROUP) == ["C", "a", "b"]
    assert await harness.call("stream::list", {**GROUP, "group_id": "empty"}) == []


async def test_names_with_colons_and_percent_signs_are_not_mixed_up(harness: StreamHarness) -> None:
    for stream, group in (("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a", "")):
        await harness.write(1, group=group, stream=stream)
    assert await harness.call("stream::list_groups", {"stream_name": "a"}) == ["", "b:c"]
    assert await harness.call("stream::list_groups", {"stream_name": "a:b"}) == ["c"]
    assert await harness.call("stream::list_all", {}) == {
        "stream": [
            {"id": "a", "groups": ["", "b:c"]},
            {"id": "a%3Ab", "groups": ["c"]},
            {"id": "a:b", "groups": ["c"]},
        ],
        "count": 3,
    }


async def test_emptied_groups_and_streams_are_not_listed(harness: StreamHarness) -> None:
    await harness.write(1)
    await harness.call("stream::delete", ITEM)
    assert await harness.call("stream::list_groups", {"stream_name": "chat"}) == []
    assert await harness.call("stream::list_all", {}) == {"stream": [], "count": 0}


async def test_send_answers_an_explicit_null(harness: StreamHarness) -> None:
    request = json.dumps({**GROUP, "type": "typing", "data": None}).encode()
    assert await harness.call_raw("stream::send", request) == NULL


@pytest.mark.parametrize(
    ("function_id", "data"),
    [
        ("stream::set", ITEM),
        ("stream::set", {**ITEM, "value": 1}),
        ("stream::set", {**GROUP, "data": 1}),
        ("stream::get", GROUP),
        ("stream::delete", {**ITEM, "item_id": 1}),
        ("stream::update", {**ITEM, "ops": {}}),
        ("stream::list", {"stream_name": "chat"}),
        ("stream::list_groups", {}),
        ("stream::list_all", None),
        ("stream::send", {**GROUP, "data": 1}),
        ("stream::send", {**GROUP, "type": "typing"}),
        ("stream::send", {**GROUP, "type": None, "event_type": "typing", "data": 1}),
        ("stream::send", {**GROUP, "type": "typing", "data": 1, "id": 5}),
    ],
)
async def test_bad_input_is_refused(harness: StreamHarness, function_id: str, data: Any) -> None:
    assert (await failure(harness, function_id, data)).failure_code == "deserialization_error"
    assert await harness.call("stream::list_all", {}) == {"stream": [], "count": 0}


@pytest.mark.parametrize(
    ("function_id", "data", "code"),
    [
        ("stream::set", {**ITEM, "data": 1}, "STREAM_SET_ERROR"),
        ("stream::get", ITEM, "STREAM_GET_ERROR"),
        ("stream::delete", ITEM, "STREAM_DELETE_ERROR"),
        ("stream::update", {**ITEM, "ops": []}, "STREAM_UPDATE_ERROR"),
        ("stream::list", GROUP, "STREAM_GET_GROUP_ERROR"),
        ("stream::list_groups", {"stream_name": "chat"}, "STREAM_LIST_GROUPS_ERROR"),
        ("stream::list_all", {}, "STREAM_LIST_ALL_ERROR"),
    ],
)
async def test_a_failing_store_is_reported_with_the_code_of_the_function(
    harness: StreamHarness, function_id: str, data: Any, code: str
) -> None:
    await harness.store.close()
    assert (await failure(harness, function_id, data)).failure_code == code


async def test_every_function_and_trigger_type_shows_its_schema(harness: StreamHarness) -> None:
    for function in harness.engine.functions:
        assert function.schema.description
        assert json.loads(bytes(function.schema.request_format))["type"] == "object"
    for trigger_type in harness.engine.triggers.types:
        assert json.loads(bytes(trigger_type.request_schema))["type"] == "object"
