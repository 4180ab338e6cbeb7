"""`engine::workers::list` and `engine::workers::info` (spec 05 §2.1, §2.2)."""

import pytest

from bridge.engine.workers import WorkerMetrics

LIST, INFO = "engine::workers::list", "engine::workers::info"


async def listed(caller, **asked):
    return (await caller.call(LIST, asked))["result"]["workers"]


async def test_a_connected_worker_is_shown_with_every_key(caller):
    caller.say("registerfunction", id="f")

    result = (await caller.call(LIST, {"search": "caller"}))["result"]

    assert result["timestamp"] == 1_780_000_000_000
    assert result["workers"] == [
        {
            "id": caller.id,
            "name": "caller",
            "description": None,
            "version": "0.25.0",
            "namespace": "default",
            "runtime": "python",
            "os": None,
            "status": "connected",
            "function_count": 1,
            "connected_at_ms": caller.worker.connected_at_ms,
            "active_invocations": 0,
            "isolation": None,
            "ip_address": None,
            "internal": False,
            "functions": ["f"],
            "pid": 1,
            "latest_metrics": None,
        }
    ]


async def test_the_newest_report_of_a_worker_is_shown_in_lists_and_in_full(caller):
    caller.worker.latest_metrics = WorkerMetrics(1_780_000_000_500, "python", memory_rss=7, cpu_percent=1.5)

    (row,) = await listed(caller, search="caller")
    detail = (await caller.call(INFO, {"name": "caller"}))["result"]["worker"]
    assert row["latest_metrics"] == {
        "timestamp_ms": 1_780_000_000_500,
        "runtime": "python",
        "memory_rss": 7,
        "cpu_percent": 1.5,
    }
    assert detail["latest_metrics"] == row["latest_metrics"]


async def test_the_bridges_own_workers_are_shown_as_in_process(caller):
    (row,) = await listed(caller, runtime="engine")

    assert row["id"] == row["name"] == "iii-engine-functions"
    assert row["description"]
    assert (row["status"], row["isolation"], row["version"]) == ("available", "in-process", "1.2.3")
    assert (row["internal"], row["ip_address"]) == (True, None)
    assert row["function_count"] == len(row["functions"]) > 5


async def test_a_worker_without_a_process_id_is_shown_only_when_asked_for(bridge, caller):
    silent = bridge.connect_greeted()

    assert silent.id not in [row["id"] for row in await listed(caller)]
    assert [row["id"] for row in await listed(caller, worker_id=silent.id)] == [silent.id]


async def test_rows_are_sorted_by_name_and_filtered(bridge, caller):
    for name, runtime in (("zeta", "node"), ("alpha", "node")):
        worker = bridge.connect_greeted()
        await worker.introduce(name=name, runtime=runtime, pid=2)

    names = [row["name"] for row in await listed(caller)]
    assert names == ["alpha", "caller", "iii-engine-functions", "zeta"]
    assert [row["name"] for row in await listed(caller, runtime="node")] == ["alpha", "zeta"]
    assert [row["name"] for row in await listed(caller, status="available")] == ["iii-engine-functions"]
    assert [row["name"] for row in await listed(caller, search="ALP")] == ["alpha"]


async def test_calls_in_flight_are_counted(caller):
    caller.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f")

    (row,) = await listed(caller, search="caller")
    assert row["active_invocations"] == 1


async def test_a_worker_is_described_with_all_it_offers_and_nothing_of_others(bridge, caller):
    other = bridge.connect_greeted()
    await other.introduce(name="other")
    for worker, mark in ((caller, "mine"), (other, "theirs")):
        worker.say("registerfunction", id=mark)
        worker.say("registertriggertype", id=f"t::{mark}", description="d")
        worker.say("registertrigger", id=f"b::{mark}", trigger_type="t::mine", function_id=mark)
    caller.take()

    detail = (await caller.call(INFO, {"name": "caller"}))["result"]

    assert detail["worker"]["id"] == caller.id
    assert [row["function_id"] for row in detail["functions"]] == ["mine"]
    assert [row["id"] for row in detail["trigger_types"]] == ["t::mine"]
    assert [row["id"] for row in detail["registered_triggers"]] == ["b::mine"]


async def test_an_own_worker_of_the_bridge_is_described(caller):
    detail = (await caller.call(INFO, {"name": "iii-engine-functions"}))["result"]

    assert detail["worker"]["internal"] is True
    assert detail["functions"]
    assert [row["id"] for row in detail["trigger_types"]] == [
        "engine::functions-available",
        "engine::workers-available",
    ]


async def test_an_unknown_worker_is_not_connected(caller):
    error = (await caller.call(INFO, {"name": "x"}))["error"]

    assert error == {"code": "NOT_FOUND", "message": "Worker 'x' is not connected."}


@pytest.mark.parametrize("namespace", ["one", "two"])
async def test_one_name_in_two_namespaces_needs_the_namespace(bridge, caller, namespace):
    twins = {}
    for each in ("one", "two"):
        twins[each] = bridge.connect_greeted()
        await twins[each].introduce(name="twin", namespace=each)

    error = (await caller.call(INFO, {"name": "twin"}))["error"]
    assert (error["code"], "one, two" in error["message"]) == ("NOT_FOUND", True)
    found = await caller.call(INFO, {"name": "twin", "namespace": namespace})
    assert found["result"]["worker"]["id"] == twins[namespace].id


async def test_the_only_namespace_of_a_name_is_found(bridge, caller):
    worker = bridge.connect_greeted()
    await worker.introduce(name="lonely", namespace="one")

    assert (await caller.call(INFO, {"name": "lonely"}))["result"]["worker"]["namespace"] == "one"
