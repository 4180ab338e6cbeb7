"""One trace leads from an HTTP request through every queue, retry and step behind it."""

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Failing
from tests.support.running_bridge import RunningBridge, ended
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def pipeline(bridge: RunningBridge) -> FakeSdk:
    """Offer three functions that each hand on to the next, the last of which fails once."""
    worker = await bridge.connect()
    failures = iter([True, False])

    async def create(call: Delivered) -> dict[str, Any]:
        return {"body": await call.enqueue("orders::validate", {"order_id": "o-1"}, "validate")}

    async def validate(call: Delivered) -> None:
        await call.enqueue("orders::charge", call.data, "payment")

    async def charge(_: Delivered) -> None:
        if next(failures):
            raise RuntimeError("declined")

    await worker.register({"orders::create": create, "orders::validate": validate, "orders::charge": charge})
    trigger = {"api_path": "/orders", "http_method": "POST"}
    await worker.send(
        {
            "type": "registertrigger",
            "id": "route",
            "trigger_type": "http",
            "function_id": "orders::create",
            "config": trigger,
        }
    )
    await worker.settled()
    return worker


async def test_an_order_is_one_trace_from_the_request_to_the_last_attempt(bridge: RunningBridge) -> None:
    worker = await pipeline(bridge)
    async with httpx.AsyncClient(base_url=str(bridge.addresses.http), timeout=PATIENCE_S) as client:
        traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
        assert (await client.post("/orders", headers={"traceparent": traceparent})).status_code == 200

    async def tree() -> list[dict[str, Any]] | None:
        roots: list[dict[str, Any]] = (await worker.trigger("engine::traces::tree", {"trace_id": TRACE}))[
            "roots"
        ]
        done = [each for each in _flat(roots) if each["name"] == "deliver orders::charge"]
        return roots if len(done) == 2 else None

    roots = await eventually(tree)
    found = [(each["name"], each["status"]) for each in _flat(roots)]

    assert sorted(found) == [
        ("POST /orders", "ok"),
        ("call orders::charge", "error"),
        ("call orders::charge", "ok"),
        ("call orders::create", "ok"),
        ("call orders::validate", "ok"),
        ("deliver orders::charge", "error"),
        ("deliver orders::charge", "ok"),
        ("deliver orders::validate", "ok"),
        ("enqueue orders::charge", "ok"),
        ("enqueue orders::validate", "ok"),
    ]
    (enqueued,) = [each for each in _flat(roots) if each["name"] == "enqueue orders::charge"]
    assert [each["name"] for each in enqueued["children"]] == ["deliver orders::charge"] * 2


async def test_a_request_is_a_span_above_the_functions_it_calls_and_one_without_a_route_is_none(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()

    async def fail(_: Delivered) -> None:
        raise RuntimeError("no")

    await worker.register({"orders::show": fail})
    trigger = {"api_path": "/orders/:id", "http_method": "GET"}
    await worker.send(
        {
            "type": "registertrigger",
            "id": "route",
            "trigger_type": "http",
            "function_id": "orders::show",
            "config": trigger,
        }
    )
    await worker.settled()
    async with httpx.AsyncClient(base_url=str(bridge.addresses.http)) as client:
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        assert (await client.get("/nowhere", headers=headers)).status_code == 404
        assert (await client.get("/orders/7?full=1", headers=headers)).status_code == 500

    async def root() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = (await worker.trigger("engine::traces::tree", {"trace_id": TRACE}))[
            "roots"
        ]
        return found if any(each["name"] == "GET /orders/:id" for each in found) else None

    (span,) = await eventually(root)
    assert (span["status"], span["parent_span_id"]) == ("error", "00f067aa0ba902b7")
    assert dict(span["attributes"]) == {
        "function_id": "orders::show",
        "http.request.method": "GET",
        "http.route": "/orders/:id",
        "url.path": "/orders/7",
        "http.response.status_code": "500",
        "error.type": "500",
    }
    assert [each["name"] for each in span["children"]] == ["call orders::show"]


async def test_attempts_and_dead_letters_show_in_the_metrics(bridge: RunningBridge) -> None:
    worker = await bridge.connect()

    async def fail(_: Delivered) -> None:
        raise RuntimeError("no")

    await worker.register({"orders::validate": fail})
    await worker.enqueue("orders::validate", {}, "validate")
    await bridge.dead_letters("validate")

    async def lines() -> list[str] | None:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            text = (await client.get(f"{bridge.addresses.admin}/metrics")).text
        return text.splitlines() if 'iii_queue_dead_letters{queue="validate"} 1.0' in text else None

    found = await eventually(lines)
    assert 'iii_queue_attempts_total{queue="validate",result="error"} 3.0' in found
    assert 'iii_queue_messages_total{queue="validate",result="accepted"} 1.0' in found
    assert 'iii_queue_dispatch_latency_seconds_count{queue="validate"} 1.0' in found


async def test_what_waits_for_a_provider_shows_in_the_metrics(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.enqueue("nobody::offers", {}, "validate")

    async def shows() -> bool:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            text = (await client.get(f"{bridge.addresses.admin}/metrics")).text
        return 'iii_queue_waiting_for_provider{queue="validate"} 1.0' in text

    assert await eventually(shows)


async def test_connections_show_by_listener(bridge: RunningBridge) -> None:
    await bridge.connect()
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        await client.get(f"{bridge.addresses.http}/nowhere")
        text = (await client.get(f"{bridge.addresses.admin}/metrics")).text

    assert 'iii_connections{listener="workers"} 1.0' in text
    assert 'iii_connections{listener="http"} 1.0' in text
    assert 'iii_connections{listener="streams"} 0.0' in text


async def test_a_failed_attempt_is_one_warning_that_says_where_and_by_whom(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.register({"orders::validate": Failing(1)})
    with capture_logs() as lines:
        receipt = await worker.enqueue("orders::validate", {"card": "4111"}, "validate")
        await ended(bridge.chain(receipt))

    (line,) = [each for each in lines if each["log_level"] == "warning"]
    ours = (await worker.trigger("engine::workers::info", {"name": "fake"}))["worker"]
    assert line["event"] == "attempt failed"
    assert (line["function_id"], line["queue"], line["attempt"]) == ("orders::validate", "validate", 1)
    assert (line["chain_id"], line["step"], line["workflow_id"]) == (
        receipt,
        receipt,
        bridge.chain(receipt).id,
    )
    assert line["worker_id"] == ours["id"]
    assert "4111" not in str(lines)


def _flat(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for node in nodes for each in (node, *_flat(node["children"]))]
