"""Payloads in a bucket, one by one: what the server says, and what is made of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
)

from bridge.errors import EngineError, EnqueueError
from bridge.temporal.payload_bucket import BucketStore
from bridge.temporal.payload_storage import BucketSettings
from tests.support.bucket import KEYS, REGION, Bucket

PAYLOAD = Payload(metadata={"encoding": b"json/plain"}, data=b'"large"')
CONTEXT = StorageDriverStoreContext(StorageDriverWorkflowInfo(namespace="n", id="w", type="t"))

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def opened(bucket: Bucket, **changed: object) -> AsyncIterator[BucketStore]:
    settings = {"region": REGION, "endpoint_url": bucket.url, **KEYS, **changed}
    store = BucketStore(BucketSettings(bucket.name, **settings))  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Bucket]:
    """Run a server that is no S3."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Bucket(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "payloads", None)


async def put(store: BucketStore, payload: Payload = PAYLOAD) -> StorageDriverClaim:
    (claim,) = await store.store(CONTEXT, [payload])
    return claim


async def get(store: BucketStore, claim: StorageDriverClaim) -> Payload:
    (payload,) = await store.retrieve(StorageDriverRetrieveContext(), [claim])
    return payload


async def test_a_payload_comes_back_and_an_equal_one_of_the_workflow_shares_its_object(
    bucket: Bucket,
) -> None:
    async with opened(bucket) as store:
        claim = await put(store)
        assert await put(store) == claim
        assert await get(store, claim) == PAYLOAD
    assert await bucket.keys() == [claim.claim_data["key"]]


async def test_an_old_object_is_written_again_so_that_nobody_cleans_it_up(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bucket.client.put_bucket_versioning(
        Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )

    async def versions() -> int:
        return len((await bucket.client.list_object_versions(Bucket=bucket.name))["Versions"])

    async with opened(bucket) as store:
        await put(store)
        await put(store)
        assert await versions() == 1
        monkeypatch.setattr("bridge.temporal.payload_bucket._YOUNG", timedelta(0))
        await put(store)
        assert await versions() == 2


async def test_an_object_that_was_changed_is_not_used(bucket: Bucket) -> None:
    async with opened(bucket) as store:
        claim = await put(store)
        await bucket.client.put_object(Bucket=bucket.name, Key=claim.claim_data["key"], Body=b"other")
        with pytest.raises(EngineError, match=f"in the bucket {bucket.name} cannot be read.*integrity"):
            await get(store, claim)


async def test_credentials_that_come_later_are_found(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    async with opened(bucket, access_key_id=None, secret_access_key=None) as store:
        with pytest.raises(EnqueueError, match=r"[Uu]nable to locate credentials.*payloads\.storage"):
            await put(store)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        assert await get(store, await put(store)) == PAYLOAD


async def test_a_profile_that_nobody_knows_is_told(bucket: Bucket) -> None:
    async with opened(bucket, profile="nobody's", access_key_id=None, secret_access_key=None) as store:
        with pytest.raises(EnqueueError, match="nobody's"):
            await put(store)


async def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with answering(hang) as bucket, opened(bucket, upload_timeout_s=0.5) as store:
        with pytest.raises(EnqueueError, match=r"it did not take it within 0\.5 s"):
            await put(store)


async def test_who_may_not_list_the_bucket_can_still_write() -> None:
    methods: list[bytes] = []

    async def refuse_heads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            methods.append(line.split(b" ")[0])
            size = 0
            while (header := (await reader.readline()).lower()) != b"\r\n":
                size = int(header.split(b":")[1]) if header.startswith(b"content-length") else size
                if header.startswith(b"expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await reader.readexactly(size)
            status = b"403 Forbidden" if methods[-1] == b"HEAD" else b"200 OK"
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
            await writer.drain()
        writer.close()

    async with answering(refuse_heads) as bucket, opened(bucket, addressing="path") as store:
        assert (await put(store)).claim_data["bucket"] == "payloads"
    assert methods == [b"HEAD", b"PUT"]


async def test_a_claim_that_somebody_made_up_is_an_error_of_ours(bucket: Bucket) -> None:
    async with opened(bucket) as store:
        for data in ({}, {"bucket": bucket.name}, {"bucket": "no such", "key": "x"}):
            with pytest.raises(EngineError, match="cannot be read"):
                await get(store, StorageDriverClaim(data))
