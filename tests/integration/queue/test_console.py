"""What iii's console asks about queues (spec 02 §7)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Failing
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.integration

QUEUES: dict[str, Any] = {"orders": {"max_retries": 1, "concurrency": 4}}


@pytest.fixture
def console_routes() -> bool:
    return True


@pytest.fixture
async def bridge(
    temporal: Client, temporal_address: str, prefix: str, tmp_path: Path, console_routes: bool
) -> AsyncIterator[RunningBridge]:
    config = bridge_config(temporal_address, prefix, QUEUES)
    (queue,) = [entry for entry in config["workers"] if entry["name"] == "iii-queue"]
    queue["config"]["console_routes"] = console_routes
    config["workers"].append({"name": "iii-http", "config": {"port": 0}})
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        yield bridge


@pytest.fixture
async def http(bridge: RunningBridge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{bridge.addresses.http}/_console", timeout=PATIENCE_S) as client:
        yield client


async def test_queues_are_listed_and_counted(bridge: RunningBridge, http: httpx.AsyncClient) -> None:
    del bridge
    queues = (await http.get("/queues")).json()
    assert list(queues) == ["queues"]
    assert {"name": "orders", "broker_type": "builtin", "subscriber_count": 4} in queues["queues"]
    assert (await http.get("/queues/orders")).json() == {
        "topic": "orders",
        "stats": {"depth": 0, "consumer_count": 4, "dlq_depth": 0, "config": None},
    }


async def test_publishing_goes_to_the_topic(bridge: RunningBridge, http: httpx.AsyncClient) -> None:
    worker, published = await bridge.connect(), []

    async def publish(call: Delivered) -> None:
        if call.data["topic"] == "broken":
            raise CallFailed("enqueue_error", "Temporal is away")
        published.append({key: call.data[key] for key in ("topic", "data")})

    await worker.register({"iii::durable::publish": publish})
    for body in ({"data": {"n": 1}}, {}):
        answer = await http.post("/queues/news/publish", json=body)
        assert (answer.status_code, answer.json()) == (200, {"message": "Message published", "topic": "news"})
    assert published == [{"topic": "news", "data": {"n": 1}}, {"topic": "news", "data": {}}]
    failed = await http.post("/queues/broken/publish", json={})
    assert failed.status_code == 502
    assert failed.json() == {"error": "Remote error (enqueue_error): Temporal is away"}


async def test_dead_letters_are_listed_redriven_and_discarded(
    bridge: RunningBridge, http: httpx.AsyncClient
) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing())
    receipts = []
    for n in range(3):
        receipts.append(await worker.enqueue("job", {"n": n}, "orders"))
        await bridge.dead_letters("orders", n + 1)

    counted = (await http.get("/dlq")).json()
    assert {"topic": "orders", "broker_type": "function_queue", "message_count": 3} in counted["topics"]
    page = (await http.post("/dlq/orders/messages", json={"offset": 1, "limit": 1})).json()
    assert page["topic"] == "orders"
    assert [letter["id"] for letter in page["messages"]] == [receipts[1]]
    assert len((await http.post("/dlq/orders/messages", json={})).json()["messages"]) == 3

    def one(message_id: str, redriven: int) -> dict[str, Any]:
        return {"queue": "orders", "message_id": message_id, "redriven": redriven}

    await worker.offer(job=Failing(times=0))
    discarded = await http.delete(f"/dlq/orders/messages/{receipts[0]}/discard")
    assert discarded.json() == one(receipts[0], 1)
    redriven = await http.post(f"/dlq/orders/messages/{receipts[1]}/redrive")
    assert redriven.json() == one(receipts[1], 1)
    assert (await http.post("/dlq/orders/redrive")).json() == {"queue": "orders", "redriven": 1}
    await bridge.has_no_dead_letters("orders")


async def test_a_request_that_makes_no_sense_is_answered_with_the_functions_error(
    bridge: RunningBridge, http: httpx.AsyncClient
) -> None:
    worker = await bridge.connect()
    refused = await http.post("/dlq/orders/messages", json={"offset": -1})
    assert refused.status_code == 502
    assert refused.json()["error"].startswith("Remote error (deserialization_error): ")
    asked = await worker.trigger("engine::console::queue_detail", {})
    assert asked == {
        "status_code": 502,
        "headers": [],
        "body": {"error": "Remote error (topic_required): topic is required"},
    }


@pytest.mark.parametrize("console_routes", [False])
async def test_http_serves_them_only_where_the_configuration_says_so(
    bridge: RunningBridge, http: httpx.AsyncClient
) -> None:
    assert (await http.get("/queues")).status_code == 404
    worker = await bridge.connect()
    assert (await worker.trigger("engine::console::dlq_list", {}))["status_code"] == 200


async def test_a_console_that_connects_covers_them(bridge: RunningBridge, http: httpx.AsyncClient) -> None:
    console = await bridge.connect()

    async def own(_: Delivered) -> dict[str, Any]:
        return {"status_code": 200, "headers": [], "body": {"queues": "its own"}}

    await console.register({"engine::console::queues_list": own})
    assert (await http.get("/queues")).json() == {"queues": "its own"}
