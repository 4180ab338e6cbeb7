"""`engine::functions::list` and `engine::functions::info` (spec 05 §2.1)."""

import pytest

LIST, INFO = "engine::functions::list", "engine::functions::info"


async def listed(caller, **asked) -> list[str]:
    answer = await caller.call(LIST, asked)
    return [each["function_id"] for each in answer["result"]["functions"]]


async def test_a_row_tells_what_generations_of_sdks_read(caller):
    old_format = {"name": "body", "type": "object"}
    caller.say(
        "registerfunction",
        id="billing::charge",
        description="d",
        metadata={"tier": "free"},
        request_format=old_format,
        response_format=old_format,
    )

    (row,) = (await caller.call(LIST))["result"]["functions"]
    assert row == {
        "function_id": "billing::charge",
        "namespace": "default",
        "worker_name": "caller",
        "description": "d",
        "metadata": {"tier": "free"},
        "request_format": old_format,
        "response_format": old_format,
    }


async def test_a_json_schema_is_not_shown_in_lists_because_sdk_0_9_fails_on_it(caller):
    schema = {"type": "object", "properties": {}}
    caller.say("registerfunction", id="f", request_format=schema, response_format=schema)

    (row,) = (await caller.call(LIST))["result"]["functions"]
    assert row == {"function_id": "f", "namespace": "default", "worker_name": "caller"}


async def test_what_a_function_does_not_have_is_left_out(caller):
    caller.say("registerfunction", id="f", description=None, metadata=None, request_format=None)

    (row,) = (await caller.call(LIST))["result"]["functions"]
    assert row == {"function_id": "f", "namespace": "default", "worker_name": "caller"}


async def test_a_nameless_worker_goes_by_the_first_part_of_the_id(bridge, caller):
    nameless = bridge.connect_greeted()
    await nameless.introduce()
    nameless.say("registerfunction", id="billing::charge")

    (row,) = (await caller.call(LIST))["result"]["functions"]
    assert row["worker_name"] == "billing"


async def test_rows_are_sorted_and_replicas_shown_once(bridge, caller):
    replica = bridge.connect_greeted()
    await replica.introduce(name="replica")
    for worker in (caller, replica):
        for function_id in ("b", "a"):
            worker.say("registerfunction", id=function_id)

    assert await listed(caller) == ["a", "b"]
    assert await listed(caller, worker="replica") == ["a", "b"]
    assert await listed(caller, worker="caller") == ["a", "b"]


async def test_internal_functions_are_shown_on_request(caller):
    caller.say("registerfunction", id="hidden", metadata={"internal": True})
    caller.say("registerfunction", id="shown", metadata={"internal": "yes"})
    caller.say("registerfunction", id="engine::queue::mine")
    caller.say("registerfunction", id="engine::mine")

    assert await listed(caller) == ["engine::queue::mine", "shown"]
    shown = await listed(caller, include_internal=True)
    assert {"hidden", "engine::mine", LIST, "engine::workers::register"} <= set(shown)


async def test_every_built_in_function_has_an_owner(caller):
    rows = (await caller.call(LIST, {"include_internal": True}))["result"]["functions"]

    assert {row["worker_name"] for row in rows} == {"iii-engine-functions"}
    assert all(row["function_id"].startswith("engine::") for row in rows)


async def test_a_search_puts_the_best_matches_first(caller):
    for function_id, description in (
        ("z::other", "keeps STATE"),
        ("a::restated", None),
        ("state::get", None),
        ("b::state::x", None),
        ("unrelated", None),
    ):
        caller.say("registerfunction", id=function_id, description=description)

    assert await listed(caller, search="State") == ["b::state::x", "state::get", "a::restated", "z::other"]
    assert await listed(caller, search="state", prefix="a::") == ["a::restated"]
    assert len(await listed(caller, search="")) == 5


async def test_worker_filters_add_up(bridge, caller):
    for name in ("one", "two", "three"):
        worker = bridge.connect_greeted()
        await worker.introduce(name=name)
        worker.say("registerfunction", id=name)

    assert await listed(caller, worker="one", workers=["three"]) == ["one", "three"]


@pytest.mark.parametrize("data", [None, [], "text", {"search": 7}])
async def test_a_payload_of_another_shape_is_refused(bridge, caller, data):
    caller.say("invokefunction", function_id=LIST, invocation_id=bridge.new_id(), data=data)
    await bridge.settle()

    error = caller.take_one("invocationresult")["error"]
    assert error["code"] == "deserialization_error"
    assert error["message"].startswith(f"Failed to deserialize input for {LIST}: ")


async def test_a_function_is_described_with_what_triggers_it(caller):
    caller.say("registerfunction", id="f", request_format={"type": "object"})
    caller.say("registertriggertype", id="t", description="d")
    caller.say("registertrigger", id="b", trigger_type="t", function_id="f", config={"a": 1})

    assert (await caller.call(INFO, {"function_id": "f"}))["result"] == {
        "function_id": "f",
        "namespace": "default",
        "worker_name": "caller",
        "request_schema": {"type": "object"},
        "registered_triggers": [{"id": "b", "trigger_type": "t", "config": {"a": 1}}],
    }


async def test_built_in_functions_have_schemas(caller):
    rows = (await caller.call(LIST, {"include_internal": True}))["result"]["functions"]
    for row in rows:
        detail = (await caller.call(INFO, {"function_id": row["function_id"]}))["result"]
        assert {"request_schema", "response_schema", "description"} <= set(detail), row["function_id"]


async def test_a_batch_keeps_its_order_and_tells_what_is_missing(caller):
    caller.say("registerfunction", id="f")

    answer = await caller.call(INFO, {"function_ids": ["ghost", "f", "ghost"]})

    missing, found = answer["result"]["functions"]
    assert missing == {"function_id": "ghost", "error": "not_found"}
    assert found["function_id"] == "f"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"function_id": "f", "function_ids": ["f"]},
        {"function_ids": []},
        {"function_ids": [f"f{number}" for number in range(33)]},
    ],
)
async def test_arguments_that_contradict_each_other_are_refused(caller, asked):
    assert (await caller.call(INFO, asked))["error"]["code"] == "INVALID_ARGUMENTS"


async def test_an_unknown_function_is_not_found(caller):
    error = (await caller.call(INFO, {"function_id": "x"}))["error"]

    assert error == {"code": "NOT_FOUND", "message": "Function 'x' is not registered."}


async def test_without_a_namespace_default_wins_then_the_only_other_one(bridge, caller):
    workers = {}
    for namespace in ("one", "two"):
        workers[namespace] = bridge.connect_greeted()
        await workers[namespace].introduce(namespace=namespace)
        workers[namespace].say("registerfunction", id="f")
    workers["one"].say("registerfunction", id="g")
    caller.say("registerfunction", id="h")
    workers["one"].say("registerfunction", id="h")

    async def namespace_of(**asked):
        answer = await caller.call(INFO, asked)
        return answer["result"]["namespace"] if "result" in answer else answer["error"]["message"]

    assert await namespace_of(function_id="g") == "one"
    assert await namespace_of(function_id="h") == "default"
    assert await namespace_of(function_id="h", namespace="one") == "one"
    assert await namespace_of(function_id="f", namespace="two") == "two"
    assert "one, two" in await namespace_of(function_id="f")
    assert "not registered" in await namespace_of(function_id="g", namespace="two")
