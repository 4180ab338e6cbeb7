"""Streamed bodies of any size pass the bridge in memory of one size."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.integration.http.raw_worker import raw_worker
from tests.integration.http.running_bridge_process import bridge_process
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc"
)

KIB = 1024
MIB = 1024 * KIB
CHUNK = bytes(index % 251 for index in range(64 * KIB))

WARM_UP_MIB = 8
MEASURED_MIB = 64
GROWTH_LIMIT_BYTES = MEASURED_MIB * MIB // 8


@pytest.fixture
async def addresses() -> AsyncIterator[dict[str, str]]:
    async with bridge_process() as addresses:
        yield addresses


def channel_url(worker_url: str, ref: dict[str, str]) -> str:
    return f"{worker_url}/ws/channels/{ref['channel_id']}?key={ref['access_key']}&dir={ref['direction']}"


def content_hash(size_mib: int) -> str:
    content = hashlib.sha256()
    for _ in range(size_mib * 16):
        content.update(CHUNK)
    return content.hexdigest()


async def test_uploads_and_downloads_pass_in_flat_memory(addresses: dict[str, str]) -> None:
    async def take(request: Any) -> Any:
        content = hashlib.sha256()
        async with connect(channel_url(addresses["worker_url"], request["request_body"])) as body:
            async for message in body:
                content.update(message)
        return {"body": content.hexdigest()}

    async def give(request: Any) -> None:
        async with connect(channel_url(addresses["worker_url"], request["response"])) as body:
            for _ in range(int(request["query_params"]["mib"]) * 16):
                await body.send(CHUNK)

    async def transfer(size_mib: int) -> None:
        async def content() -> AsyncIterator[bytes]:
            for _ in range(size_mib * 16):
                yield CHUNK

        assert (await client.post("/take", content=content())).json() == content_hash(size_mib)
        received = hashlib.sha256()
        async with client.stream("GET", "/give", params={"mib": size_mib}) as response:
            async for chunk in response.aiter_raw():
                received.update(chunk)
        assert received.hexdigest() == content_hash(size_mib)

    async with (
        raw_worker(addresses["worker_url"]) as worker,
        httpx.AsyncClient(base_url=addresses["http_url"], timeout=PATIENCE_S) as client,
    ):
        await worker.function("take", take)
        await worker.route("take", "/take", "POST")
        await worker.function("give", give)
        await worker.route("give", "/give")
        await transfer(WARM_UP_MIB)
        before_bytes = (await client.get("/peak")).json()
        await transfer(MEASURED_MIB)
        assert (await client.get("/peak")).json() - before_bytes < GROWTH_LIMIT_BYTES
