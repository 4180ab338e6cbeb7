"""The codec endpoint, asked for payloads that are not in Temporal (docs/payloads.md)."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload

from tests.support.bucket import Bucket
from tests.support.handlers import Recording
from tests.support.running_bridge import RunningBridge, StartBridge, ended, events
from tests.support.temporal_cli import shown
from tests.support.temporal_server import free_port

pytestmark = pytest.mark.integration

TOKEN = "let-me-read"
SECRET = "4929-7226-5703"
LARGE = {"card": SECRET, "note": "x" * 3_000_000}
KEY = base64.b64encode(bytes(32)).decode()
ENCRYPTION = {"encryption": {"active_key": "one", "keys": {"one": KEY}}}
PLAIN = {"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": "MQ=="}


class Endpoint:
    """The codec endpoint of a bridge to be."""

    def __init__(self) -> None:
        port = free_port()
        self.block = {"port": port, "tokens": [TOKEN]}
        self.url = f"http://127.0.0.1:{port}"

    async def ask(self, path: str, *payloads: dict[str, Any]) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as client:
            answer = await client.post(self.url + path, json={"payloads": payloads}, timeout=20)
        answer.raise_for_status()
        told: list[dict[str, Any]] = answer.json()["payloads"]
        return told

    async def decode(self, *payloads: dict[str, Any]) -> list[Any]:
        told = await self.ask("/decode", *payloads)
        return [json.loads(base64.b64decode(each["data"])) for each in told]


async def enqueued(bridge: RunningBridge, queue: str = "jobs") -> tuple[str, dict[str, Any]]:
    """Enqueue a large message, and return its receipt and what Temporal keeps of it."""
    worker = await bridge.connect()
    await worker.register({"job": Recording()})
    receipt = await worker.enqueue("job", LARGE, queue)
    await ended(bridge.chain(receipt))
    started = (await events(bridge.chain(receipt)))[0].workflow_execution_started_event_attributes
    kept: Payload = started.input.payloads[1]
    return receipt, MessageToDict(kept)


async def test_the_command_line_shows_a_large_payload_of_a_bucket(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket, temporal_address: str
) -> None:
    endpoint = Endpoint()
    payloads = {"storage": {"s3": bucket.block}} | ENCRYPTION
    bridge = await start_bridge(queues, payloads=payloads, codec_endpoint=endpoint.block)
    receipt, _ = await enqueued(bridge)
    chain = bridge.chain(receipt).id
    assert SECRET not in await shown(temporal_address, chain)
    codec = ("--codec-endpoint", endpoint.url, "--codec-auth", f"Bearer {TOKEN}")
    assert SECRET in await shown(temporal_address, chain, *codec)


async def test_a_reference_is_fetched_and_decrypted_and_what_is_beside_it_is_too(
    start_bridge: StartBridge, queues: dict[str, Any], tmp_path: Path
) -> None:
    endpoint = Endpoint()
    payloads = {"storage": {"directory": str(tmp_path / "large")}} | ENCRYPTION
    bridge = await start_bridge(queues, payloads=payloads, codec_endpoint=endpoint.block)
    _, kept = await enqueued(bridge)
    assert await endpoint.ask("/encode", kept) == [kept]
    (encrypted,) = await endpoint.ask("/encode", PLAIN)
    assert encrypted != PLAIN
    assert await endpoint.decode(kept, encrypted, PLAIN) == [LARGE, 1, 1]


async def test_in_place_of_an_object_that_is_gone_stands_which_one_it_was(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket
) -> None:
    endpoint = Endpoint()
    payloads = {"storage": {"s3": bucket.block}}
    bridge = await start_bridge(queues, payloads=payloads, codec_endpoint=endpoint.block)
    _, kept = await enqueued(bridge)
    (key, *_) = [key for key in await bucket.keys() if "/ri/null/" in key]
    await bucket.empty()
    gone, plain = await endpoint.decode(kept, PLAIN)
    assert f"The large payload {key} in the bucket {bucket.name} cannot be read" in gone["not_shown"]
    assert json.loads(gone["reference"])["claimData"]["key"] == key
    assert plain == 1


async def test_a_request_fetches_no_more_than_a_person_reads(
    start_bridge: StartBridge, queues: dict[str, Any], tmp_path: Path
) -> None:
    endpoint = Endpoint()
    payloads = {"storage": {"directory": str(tmp_path / "large")}}
    bridge = await start_bridge(queues, payloads=payloads, codec_endpoint=endpoint.block)
    _, kept = await enqueued(bridge)
    *shown_ones, last = await endpoint.decode(*[kept] * 12)
    assert shown_ones[:11] == [LARGE] * 11
    assert "33554432 are fetched for one request" in last["not_shown"]


async def test_a_bridge_without_storage_says_so(
    start_bridge: StartBridge, queues: dict[str, Any], tmp_path: Path
) -> None:
    payloads = {"storage": {"directory": str(tmp_path / "large")}}
    _, kept = await enqueued(await start_bridge(queues, payloads=payloads))
    endpoint = Endpoint()
    await start_bridge(queues, codec_endpoint=endpoint.block)
    (told,) = await endpoint.decode(kept)
    assert "no `payloads.storage`" in told["not_shown"]


async def test_a_reference_that_somebody_made_up_does_no_harm(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket, tmp_path: Path
) -> None:
    endpoint = Endpoint()
    storage = {"s3": bucket.block, "directory": str(tmp_path / "large"), "write_to": "s3"}
    bridge = await start_bridge(queues, payloads={"storage": storage}, codec_endpoint=endpoint.block)
    _, kept = await enqueued(bridge)
    claims: list[dict[str, Any]] = [
        {"driverName": "aws.s3driver"},
        {"driverName": "aws.s3driver", "claimData": {"bucket": bucket.name, "key": "../x"}},
        {"driverName": "iii-temporal.directory", "claimData": {"sha256": "../../etc/passwd"}},
        {"driverName": "nobody's"},
    ]
    made_up = [kept | {"data": base64.b64encode(json.dumps(claim).encode()).decode()} for claim in claims]
    told = await endpoint.decode(*made_up, kept)
    assert all(each["not_shown"] for each in told[:-1])
    assert told[-1] == LARGE
