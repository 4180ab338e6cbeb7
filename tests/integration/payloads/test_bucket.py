"""Payloads that are too large for Temporal, in a bucket that SDKs share (docs/payloads.md)."""

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import DataConverter, ExternalStorage
from temporalio.worker import Worker

from tests.integration.interop.foreign import CallsFunction, FunctionCall
from tests.support.bucket import Bucket, bucket_server, new_bucket
from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Recording
from tests.support.running_bridge import StartBridge, ended, events
from tests.support.temporal_server import free_port

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
LARGE = "a secret of three mebibytes " * (3 * MEBIBYTE // 28)


def stored(bucket: Bucket, **more: Any) -> dict[str, Any]:
    return {"storage": {"s3": bucket.block, "limit_bytes": 4 * MEBIBYTE, **more}}


async def test_an_object_is_found_by_namespace_and_chain(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket
) -> None:
    bridge = await start_bridge(queues, payloads=stored(bucket))
    worker = await bridge.connect()
    await worker.register({"job": Recording()})
    receipt = await worker.enqueue("job", {"data": LARGE}, "jobs")
    await ended(bridge.chain(receipt))
    beginning = f"v0/ns/default/wt/job/wi/{bridge.prefix}.chain%2F{receipt}/"
    keys = await bucket.keys()
    assert keys
    assert all(key.startswith(beginning) for key in keys)


def sharing(client: Client, bucket: Bucket) -> Client:
    """Return a client of somebody who uses Temporal's own driver, as its documentation says."""
    storage = ExternalStorage(drivers=[bucket.driver_of_others()])
    converter = replace(DataConverter.default, external_storage=storage)
    return Client(client.service_client, namespace=client.namespace, data_converter=converter)


async def test_temporals_own_driver_reads_what_the_bridge_wrote(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket, temporal: Client
) -> None:
    bridge = await start_bridge(queues, payloads=stored(bucket))
    worker = await bridge.connect()
    await worker.register({"job": Recording()})
    receipt = await worker.enqueue("job", {"data": LARGE}, "jobs")
    await ended(bridge.chain(receipt))
    started = (await events(bridge.chain(receipt)))[0].workflow_execution_started_event_attributes
    reading = sharing(temporal, bucket).data_converter
    _, payload = await reading.decode(started.input.payloads, [RawValue, dict])
    assert payload == {"data": LARGE}


async def test_a_workflow_with_temporals_own_driver_calls_a_function_with_large_payloads(
    start_bridge: StartBridge, bucket: Bucket, temporal: Client
) -> None:
    bridge = await start_bridge({}, payloads=stored(bucket))
    worker = await bridge.connect()

    async def echo(call: Delivered) -> Any:
        return call.data

    await worker.offer(echo=echo)
    user, queue = sharing(temporal, bucket), f"foreign-{uuid.uuid4()}"
    async with Worker(user, task_queue=queue, workflows=[CallsFunction]):
        call = FunctionCall(bridge.prefix, "echo", [{"data": LARGE}])
        answer = await user.execute_workflow(CallsFunction.run, call, id=queue, task_queue=queue)
    assert answer == {"data": LARGE}
    assert len(await bucket.keys()) >= 1


async def test_a_server_that_is_away_refuses_large_payloads_alone_until_it_is_back(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    port = free_port()
    away = Bucket(f"http://127.0.0.1:{port}", "payloads", None)
    bridge = await start_bridge(queues, payloads=stored(away), enqueue_timeout_ms=4000)
    worker, heard = await bridge.connect(), Recording()
    await worker.register({"work": heard})
    with pytest.raises(
        CallFailed, match=r"cannot be written to the bucket payloads: .*payloads\.storage"
    ) as no:
        await worker.enqueue("work", {"data": LARGE}, "jobs")
    assert no.value.code == "enqueue_error"
    await ended(bridge.chain(await worker.enqueue("work", {"data": "small"}, "jobs")))
    async with bucket_server(port) as url:
        with pytest.raises(CallFailed, match="NoSuchBucket"):
            await worker.enqueue("work", {"data": LARGE}, "jobs")
        async with new_bucket(url, "payloads"):
            await ended(bridge.chain(await worker.enqueue("work", {"data": LARGE}, "jobs")))
    assert heard.of("data") == ["small", LARGE]


async def test_a_message_in_the_directory_is_handled_after_the_move_to_a_bucket(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket, tmp_path: Path
) -> None:
    directory = str(tmp_path / "large")
    before = await start_bridge(queues, payloads={"storage": {"directory": directory}})
    waits = await (await before.connect()).enqueue("late", {"data": LARGE}, "jobs")
    await before.stop()
    both = stored(bucket, directory=directory, write_to="s3")
    after, heard = await start_bridge(queues, payloads=both), Recording()
    worker = await after.connect()
    assert not await bucket.keys()
    await worker.register({"late": heard})
    await ended(after.chain(waits))
    await ended(after.chain(await worker.enqueue("late", {"data": LARGE}, "jobs")))
    assert heard.of("data") == [LARGE, LARGE]
    assert await bucket.keys()
