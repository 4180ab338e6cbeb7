"""Routes belong to workers and run in namespaces (spec 04 §1.5 to §1.8, §8.1, §8.5, §8.13)."""

import asyncio
from typing import Any

from tests.integration.http.raw_worker import raw_worker
from tests.integration.http.running_bridge import Bridge, eventually


async def test_a_route_without_a_path_is_answered_with_what_is_missing(bridge: Bridge) -> None:
    async with raw_worker(bridge.worker_url) as worker:
        await worker.say("registertrigger", id="t", trigger_type="http", function_id="f", config={})
        await worker.settled()
        (error,) = worker.rejections
    assert error["code"] == "trigger_registration_failed"
    assert "api_path is required" in error["message"]


async def test_a_trigger_that_moves_leaves_its_old_path(bridge: Bridge) -> None:
    async with raw_worker(bridge.worker_url) as worker:
        await worker.function("f", {"body": 1})
        for path in ("/old", "/new"):
            await worker.say(
                "registertrigger", id="t", trigger_type="http", function_id="f", config={"api_path": path}
            )
        await worker.settled()
        assert (await bridge.client.get("/new")).status_code == 200
        assert (await bridge.client.get("/old")).status_code == 404


async def test_trace_and_baggage_go_on_to_the_worker_and_tracestate_only_as_a_header(bridge: Bridge) -> None:
    given = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=opaque",
        "baggage": "user=7",
    }
    async with raw_worker(bridge.worker_url) as worker:
        await worker.function("f", {"body": 1})
        await worker.route("f", "/x")
        await bridge.client.get("/x", headers=given)
    (invocation,) = worker.invocations
    assert invocation["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert invocation["traceparent"].endswith("-01")
    assert invocation["baggage"].startswith("user=7,")
    assert "tracestate" not in invocation
    assert invocation["data"]["headers"]["tracestate"] == given["tracestate"]


async def test_the_functions_of_one_request_are_in_one_trace_and_each_request_in_its_own(
    bridge: Bridge,
) -> None:
    async with raw_worker(bridge.worker_url) as worker:
        await worker.function("guard", {"action": "continue"})
        await worker.function("f", {"body": 1})
        await worker.route(
            "f", "/x", config={"condition_function_id": "guard", "middleware_function_ids": ["guard"]}
        )
        await bridge.client.get("/x")
        await bridge.client.get("/x")
    traces = [each["traceparent"].split("-")[1] for each in worker.invocations]
    assert len(traces) == 6
    assert len(set(traces[:3])) == len(set(traces[3:])) == 1
    assert traces[0] != traces[3]


async def test_a_worker_that_leaves_takes_its_routes_with_it(bridge: Bridge) -> None:
    async with raw_worker(bridge.worker_url) as worker:
        await worker.function("f", {"body": 1})
        await worker.route("f", "/x")
        assert (await bridge.client.get("/x")).status_code == 200
    await eventually(lambda: len(bridge.http._routes) == 0)
    assert (await bridge.client.get("/x")).status_code == 404


async def test_a_worker_that_leaves_late_does_not_take_the_route_of_its_successor(bridge: Bridge) -> None:
    async with raw_worker(bridge.worker_url) as successor:
        async with raw_worker(bridge.worker_url) as leaver:
            await leaver.function("f", {"body": "old"})
            stale_id = await leaver.route("f", "/items/:id")
            await successor.function("g", {"body": "new"})
            await successor.route("g", "items/:id")
            assert (await bridge.client.get("/items/7")).json() == "new"
            await leaver.say("unregistertrigger", id=stale_id, trigger_type="http")
            await leaver.settled()
        await eventually(lambda: not bridge.engine.has_provider("f"))
        assert (await bridge.client.get("/items/7")).json() == "new"


async def test_handler_and_condition_are_those_of_the_routes_namespace(bridge: Bridge) -> None:
    async with (
        raw_worker(bridge.worker_url) as default,
        raw_worker(bridge.worker_url, "orders") as orders,
    ):
        await default.function("handle", {"body": "default"})
        await orders.function("handle", {"body": "orders"})
        await orders.function("allow", True)
        await default.route("handle", "/x", namespace="orders", config={"condition_function_id": "allow"})
        assert (await bridge.client.get("/x")).json() == "orders"
        assert (default.called, orders.called) == ([], ["allow", "handle"])


async def test_middleware_is_that_of_the_routes_namespace(bridge: Bridge) -> None:
    async with (
        raw_worker(bridge.worker_url) as default,
        raw_worker(bridge.worker_url, "orders") as orders,
    ):
        for worker, status in ((default, 401), (orders, 418)):
            await worker.function("guard", {"action": "respond", "response": {"status_code": status}})
            await worker.function("handle", {"body": 1})
        await orders.route("handle", "/x", namespace="orders", config={"middleware_function_ids": ["guard"]})
        assert (await bridge.client.get("/x")).status_code == 418
        assert default.called == []


async def test_many_routes_of_one_worker_answer_at_the_same_time(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": request["body"]}

    async with raw_worker(bridge.worker_url) as worker:
        for number in range(100):
            await worker.function(f"bench::{number}", echo)
            await worker.route(f"bench::{number}", f"bench/{number}", "POST")
        responses = await asyncio.gather(
            *(bridge.client.post(f"/bench/{number % 100}", json=number) for number in range(400))
        )
    assert [(each.status_code, each.json()) for each in responses] == [(200, n) for n in range(400)]
