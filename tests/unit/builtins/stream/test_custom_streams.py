import asyncio
import json
from typing import Any

import msgspec
import pytest

from bridge.engine.calls import Call, Job
from bridge.errors import FunctionFailedError
from bridge.protocol.payload import ABSENT
from tests.unit.builtins.state.engine_harness import NO_RESULT
from tests.unit.builtins.stream.conftest import StreamHarness

ITEM = {"stream_name": "inventory", "group_id": "eu", "item_id": "sku-1"}
OPERATIONS = {
    "set": ({**ITEM, "data": 1}, {"old_value": None, "new_value": 1}),
    "delete": (ITEM, {"old_value": 1}),
    "update": ({**ITEM, "ops": []}, {"old_value": 1, "new_value": 2}),
    "get": (ITEM, "item"),
    "list": ({"stream_name": "inventory", "group_id": "eu"}, ["item"]),
    "list_groups": ({"stream_name": "inventory"}, ["eu"]),
}


async def failure(harness: StreamHarness, function_id: str, data: Any) -> FunctionFailedError:
    with pytest.raises(FunctionFailedError) as caught:
        await harness.call(function_id, data)
    return caught.value


def offer_failure(harness: StreamHarness, operation: str) -> None:
    async def fail(_: Call) -> msgspec.Raw:
        raise FunctionFailedError("STOCK_LOCKED", "the stock is locked")

    harness.engine.add_builtin(f"stream::{operation}(inventory)", fail, owner_name="test")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_the_worker_answers_in_place_of_the_store(harness: StreamHarness, operation: str) -> None:
    request, answer = OPERATIONS[operation]
    asked: list[Any] = []

    def provide(data: Any) -> Any:
        asked.append(data)
        return answer

    harness.offer(f"stream::{operation}(inventory)", provide)
    result = await harness.call(f"stream::{operation}", {**request, "_caller_worker_id": "w", "extra": 1})
    assert (result, asked) == (answer, [request])
    assert await harness.call("stream::list_all", {}) == {"stream": [], "count": 0}


async def test_other_streams_stay_in_the_store(harness: StreamHarness) -> None:
    harness.offer("stream::set(inventory)", lambda _: {"new_value": "never"})
    assert (await harness.write(1, stream="chat"))["new_value"] == 1


async def test_a_function_in_another_namespace_keeps_no_stream(harness: StreamHarness) -> None:
    harness.offer("stream::set(inventory)", lambda _: {"new_value": "never"}, namespace="shop")
    assert (await harness.write(1, stream="inventory"))["new_value"] == 1


async def test_update_operations_are_passed_on_in_full_and_without_a_root_path(
    harness: StreamHarness,
) -> None:
    asked: list[Any] = []

    def provide(data: Any) -> Any:
        asked.append(data["ops"])
        return {"new_value": 1, "errors": [{"op_index": 0, "code": "x"}]}

    harness.offer("stream::update(inventory)", provide)
    ops = [
        {"type": "set", "path": "a", "extra": 1},
        {"type": "merge", "path": "", "value": {}},
        {"type": "append", "path": None, "value": 1},
        {"type": "append", "path": ["a", "b"], "value": 1},
        {"type": "increment", "path": "n", "by": 2},
    ]
    answer = await harness.call("stream::update", {**ITEM, "ops": ops})
    assert answer == {"old_value": None, "new_value": 1, "errors": [{"op_index": 0, "code": "x"}]}
    assert asked == [
        [
            {"type": "set", "path": "a", "value": None},
            {"type": "merge", "value": {}},
            {"type": "append", "value": 1},
            {"type": "append", "path": ["a", "b"], "value": 1},
            {"type": "increment", "path": "n", "by": 2},
        ]
    ]


@pytest.mark.parametrize(
    ("operation", "answer", "event"),
    [
        ("set", {"new_value": 5}, {"type": "create", "data": 5}),
        ("set", {"old_value": 4, "new_value": 5}, {"type": "update", "data": 5}),
        ("update", {"old_value": 4, "new_value": 5}, {"type": "update", "data": 5}),
        ("delete", {"old_value": 4}, {"type": "delete", "data": 4}),
        ("delete", {"old_value": None}, None),
        ("delete", {}, None),
    ],
)
async def test_events_come_from_what_the_worker_answers(
    harness: StreamHarness, operation: str, answer: Any, event: Any
) -> None:
    events = harness.recorder("watch")
    harness.bind("stream", "watch", {"stream_name": "inventory"})
    harness.offer(f"stream::{operation}(inventory)", lambda _: answer)
    client = harness.client()
    await client.join("s-1", "inventory", "eu")
    client.take()
    await harness.call(f"stream::{operation}", OPERATIONS[operation][0])
    await harness.settle()
    assert [each["event"] for each in events] == ([event] if event else [])
    assert client.take() == events


@pytest.mark.parametrize("operation", ["set", "delete", "update"])
async def test_a_write_the_worker_fails_or_does_not_answer_has_the_code_of_the_function(
    harness: StreamHarness, operation: str
) -> None:
    function_id, request = f"stream::{operation}", OPERATIONS[operation][0]
    code = f"STREAM_{operation.upper()}_ERROR"
    harness.offer(f"{function_id}(inventory)", lambda _: NO_RESULT)
    assert (await failure(harness, function_id, request)).failure_code == code


@pytest.mark.parametrize("operation", ["set", "delete", "update"])
async def test_a_failed_write_says_why(harness: StreamHarness, operation: str) -> None:
    offer_failure(harness, operation)
    error = await failure(harness, f"stream::{operation}", OPERATIONS[operation][0])
    assert error.failure_code == f"STREAM_{operation.upper()}_ERROR"
    assert "STOCK_LOCKED: the stock is locked" in error.message


@pytest.mark.parametrize(
    ("operation", "answer"),
    [("set", {"old_value": 1}), ("set", 5), ("delete", []), ("update", {"old_value": 1})],
)
async def test_a_write_answered_in_the_wrong_shape_is_a_json_error(
    harness: StreamHarness, operation: str, answer: Any
) -> None:
    harness.offer(f"stream::{operation}(inventory)", lambda _: answer)
    error = await failure(harness, f"stream::{operation}", OPERATIONS[operation][0])
    assert error.failure_code == "JSON_ERROR"


@pytest.mark.parametrize("operation", ["get", "list", "list_groups"])
async def test_the_error_of_a_read_is_passed_through(harness: StreamHarness, operation: str) -> None:
    offer_failure(harness, operation)
    error = await failure(harness, f"stream::{operation}", OPERATIONS[operation][0])
    assert (error.failure_code, error.message) == ("STOCK_LOCKED", "the stock is locked")


@pytest.mark.parametrize("operation", ["get", "list", "list_groups"])
async def test_a_read_without_a_result_has_no_result(harness: StreamHarness, operation: str) -> None:
    harness.offer(f"stream::{operation}(inventory)", lambda _: NO_RESULT)
    assert await harness.call(f"stream::{operation}", OPERATIONS[operation][0]) is NO_RESULT


async def test_joining_reads_from_the_worker(harness: StreamHarness) -> None:
    harness.offer("stream::list(inventory)", lambda _: NO_RESULT)
    harness.offer("stream::get(inventory)", lambda item: item["item_id"])
    client = harness.client()
    await client.join("s-1", "inventory", "eu")
    await client.join("s-2", "inventory", "eu", "sku-1")
    assert [frame["event"]["data"] for frame in client.take()] == [None, "sku-1"]


async def test_the_call_to_the_worker_belongs_to_the_job_of_the_caller(harness: StreamHarness) -> None:
    calls: list[Call] = []

    async def provide(call: Call) -> msgspec.Raw:
        calls.append(call)
        return ABSENT

    harness.engine.add_builtin("stream::get(inventory)", provide, owner_name="test")
    job = Job("chain", "receipt", "workflow", {})
    request = msgspec.Raw(json.dumps(ITEM).encode())
    await harness.engine.invoke(
        Call("stream::get", request, job=job, baggage="a=b", traceparent="00-1", metadata=msgspec.Raw(b"{}"))
    )
    [call] = calls
    assert (call.job, call.baggage, call.traceparent, call.metadata) == (job, "a=b", "00-1", ABSENT)


class TestUpdateThroughGetAndSet:
    @pytest.fixture
    def stock(self, harness: StreamHarness) -> dict[str, Any]:
        stock: dict[str, Any] = {}

        async def get(item: Any) -> Any:
            value = stock.get(item["item_id"], NO_RESULT)
            await asyncio.sleep(0)  # lets another update read the same value, if it may
            return value

        def put(item: Any) -> Any:
            old_value = stock.get(item["item_id"])
            stock[item["item_id"]] = item["data"]
            return {"old_value": old_value, "new_value": item["data"]}

        harness.offer("stream::get(inventory)", get)
        harness.offer("stream::set(inventory)", put)
        return stock

    async def test_it_changes_what_the_worker_keeps(
        self, harness: StreamHarness, stock: dict[str, Any]
    ) -> None:
        events = harness.recorder("watch")
        harness.bind("stream", "watch", {"stream_name": "inventory"})
        update = {
            **ITEM,
            "ops": [{"type": "increment", "path": "n", "by": 2}, {"type": "append", "path": "n", "value": 1}],
        }
        answer = await harness.call("stream::update", update)
        assert (answer["old_value"], answer["new_value"]) == (None, {"n": 2})
        assert [error["code"] for error in answer["errors"]] == ["append.type_mismatch"]
        await harness.call("stream::update", update)
        await harness.settle()
        assert stock == {"sku-1": {"n": 4}}
        assert [event["event"]["type"] for event in events] == ["create", "update"]
        assert await harness.call("stream::list_all", {}) == {"stream": [], "count": 0}

    @pytest.mark.usefixtures("stock")
    async def test_updates_of_one_item_take_turns(self, harness: StreamHarness) -> None:
        update = {**ITEM, "ops": [{"type": "increment", "path": "n", "by": 1}]}
        await asyncio.gather(*(harness.call("stream::update", update) for _ in range(20)))
        assert await harness.call("stream::get", ITEM) == {"n": 20}

    async def test_a_worker_that_only_reads_does_not_get_updates(self, harness: StreamHarness) -> None:
        harness.offer("stream::get(inventory)", lambda _: "theirs")
        await harness.call("stream::update", {**ITEM, "ops": []})
        assert (await harness.call("stream::list_all", {}))["count"] == 1


@pytest.mark.parametrize(("failing", "working"), [("get", "set"), ("set", "get")])
async def test_an_update_fails_if_the_read_or_the_write_it_is_made_of_fails(
    harness: StreamHarness, failing: str, working: str
) -> None:
    offer_failure(harness, failing)
    harness.offer(f"stream::{working}(inventory)", lambda _: NO_RESULT)
    error = await failure(harness, "stream::update", {**ITEM, "ops": []})
    assert error.failure_code == "STREAM_UPDATE_ERROR"
    assert "STOCK_LOCKED" in error.message
