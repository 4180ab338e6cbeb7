"""Payloads that only the bridge can read, and the endpoint that reads them for others (docs/payloads.md)."""

import base64
import shlex
from typing import Any

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.fake_sdk import Delivered
from tests.support.handlers import Failing, Gate, Recording
from tests.support.pages import commands
from tests.support.running_bridge import StartBridge, ended, events
from tests.support.temporal_cli import printed, shown
from tests.support.temporal_server import free_port
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

SECRET = "4929-7226-5703"
TOKEN = "let-me-read"


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def encrypted(active: str = "one", **keys: str) -> dict[str, Any]:
    return {"encryption": {"active_key": active, "keys": keys or {"one": key(1)}}}


async def everything(client: Client, prefix: str) -> bytes:
    """Return all that Temporal keeps of a tenancy's workflows, as somebody without the key sees it."""
    found = bytearray()
    async for execution in client.list_workflows(f"WorkflowId STARTS_WITH '{prefix}.'"):
        found += execution.raw_info.SerializeToString()
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        async for event in handle.fetch_history_events():
            found += event.SerializeToString()
    return bytes(found)


async def test_nothing_of_a_payload_can_be_read_in_temporal_and_everything_works(
    start_bridge: StartBridge, queues: dict[str, Any], temporal: Client
) -> None:
    bridge = await start_bridge(queues, payloads=encrypted() | {"compress_from_bytes": 100})
    worker, undone = await bridge.connect(), Recording()

    async def first(call: Delivered) -> dict[str, str]:
        await call.enqueue("second", {"group": "g", "card": SECRET}, "lines", metadata={"card": SECRET})
        return {"card": SECRET}

    await worker.register({"first": first}, {"compensate": "undo"})
    await worker.register({"second": Failing(text=f"declined: {SECRET}"), "undo": undone})
    receipt = await worker.enqueue("first", {"card": SECRET, "note": "x" * 500}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.FAILED
    assert undone.payloads[0]["input"]["card"] == SECRET
    (letter,) = await bridge.dead_letters("lines")
    assert (letter["payload"]["card"], letter["error"]) == (SECRET, f"declined: {SECRET}")
    found = await worker.trigger("chain::get", {"receipt": receipt})
    assert found["steps"][0]["result"] == {"card": SECRET}
    kept = await everything(temporal, bridge.prefix)
    assert b"binary/encrypted" in kept
    assert SECRET.encode() not in kept


async def test_topics_are_encrypted_and_work(start_bridge: StartBridge, temporal: Client) -> None:
    bridge = await start_bridge({}, payloads=encrypted())
    worker, heard = await bridge.connect(), Recording()
    await worker.offer(heard=heard)
    frame = {"type": "registertrigger", "id": "t", "trigger_type": "durable:subscriber"}
    await worker.send({**frame, "function_id": "heard", "config": {"topic": "orders"}})
    await worker.trigger("iii::durable::publish", {"topic": "orders", "data": {"card": SECRET}})
    await eventually(lambda: heard.payloads == [{"card": SECRET}])

    async def is_listed() -> bool:
        rows = await worker.trigger("engine::queue::list_topics", {})
        return {"name": "orders", "broker_type": "builtin", "subscriber_count": 1} in rows

    await eventually(is_listed)
    assert SECRET.encode() not in await everything(temporal, bridge.prefix)


async def test_a_new_key_takes_over_while_messages_are_in_flight(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    before = await start_bridge(queues, payloads=encrypted())
    worker = await before.connect()
    gate = Gate()
    await worker.register({"slow": gate})
    receipt = await worker.enqueue("slow", {"card": SECRET}, "jobs")
    waiting = await worker.enqueue("absent", {"card": SECRET}, "jobs")
    await eventually(lambda: gate.begun)

    async def has_found_nobody() -> bool:
        failed = EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
        return any(event.event_type == failed for event in await events(before.chain(waiting)))

    await eventually(has_found_nobody)
    await before.stop()
    after = await start_bridge(queues, payloads=encrypted("two", one=key(1), two=key(2)))
    heard = Recording()
    await (await after.connect()).register({"slow": heard, "absent": heard})
    for each in (receipt, waiting):
        assert (await ended(after.chain(each))).status is WorkflowExecutionStatus.COMPLETED
    assert heard.of("card") == [SECRET, SECRET]


async def test_bridges_that_have_lost_a_key_begin_and_share_a_new_seal_key(
    start_bridge: StartBridge, temporal: Client
) -> None:
    first = await start_bridge({}, payloads=encrypted())
    keeper = temporal.get_workflow_handle(f"{first.prefix}.seal-key")
    before = (await keeper.describe()).run_id
    for payloads in (encrypted("two", two=key(2)), {}):
        await start_bridge({}, payloads=payloads)
        renewed = await keeper.describe()
        assert renewed.run_id != before
        before = renewed.run_id
    await start_bridge({}, payloads={})
    assert (await keeper.describe()).run_id == before


async def test_the_codec_endpoint_reads_for_those_who_have_a_token(
    start_bridge: StartBridge, queues: dict[str, Any], temporal_address: str
) -> None:
    port = free_port()
    origin = "http://ui.example"
    endpoint = {"port": port, "tokens": [TOKEN], "allowed_origins": [origin]}
    bridge = await start_bridge(queues, payloads=encrypted(), codec_endpoint=endpoint)
    worker = await bridge.connect()
    await worker.register({"job": Recording()})
    receipt = await worker.enqueue("job", {"card": SECRET}, "jobs")
    await ended(bridge.chain(receipt))
    url = f"http://127.0.0.1:{port}"

    assert SECRET not in await shown(temporal_address, bridge.chain(receipt).id)
    codec = ("--codec-endpoint", url, "--codec-auth", f"Bearer {TOKEN}")
    assert SECRET in await shown(temporal_address, bridge.chain(receipt).id, *codec)
    (documented,) = commands("docs/payloads.md")
    asked = documented.replace("iii.chain/…", bridge.chain(receipt).id).replace("$CODEC_TOKEN", TOKEN)
    words = shlex.split(asked.replace("http://127.0.0.1:9465", url))
    assert SECRET in await printed(*words[1:], "--address", temporal_address)

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as browser:
        preflight = {"origin": origin, "access-control-request-method": "POST"}
        allowed = await browser.options("/decode", headers=preflight)
        assert allowed.headers["access-control-allow-origin"] == origin
        refused = await browser.options("/decode", headers=preflight | {"origin": "http://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        assert (await browser.post("/decode", json={"payloads": []})).status_code == 401
        good = {"authorization": f"Bearer {TOKEN}"}
        assert (await browser.post("/decode", content=b"{", headers=good)).status_code == 400
        foreign = {
            "metadata": {
                "encoding": base64.b64encode(b"binary/encrypted").decode(),
                "encryption-key-id": base64.b64encode(b"nine").decode(),
            },
            "data": "",
        }
        unknown = await browser.post("/decode", json={"payloads": [foreign]}, headers=good)
        assert unknown.status_code == 400
        assert "'nine'" in unknown.json()["error"]
        plain = {"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": "MQ=="}
        there = (await browser.post("/encode", json={"payloads": [plain]}, headers=good)).json()
        assert there["payloads"][0] != plain
        back = (await browser.post("/ns/decode", json=there, headers=good)).json()
        assert back == {"payloads": [plain]}
