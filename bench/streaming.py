"""A large body up and down through the bridge and a worker on the Python SDK.

`python -m bench.streaming [MIB]`: 64 MiB unless told otherwise; 1024 makes it a gigabyte.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import httpx

from bench.http_processes import bridge_with_worker, peak_bytes

__all__ = ["run"]

MIB = 1024 * 1024
DEFAULT_MIB = 64
WARM_UP_MIB = 8
CHUNK = bytes(64 * 1024)


async def run(size_mib: int = DEFAULT_MIB) -> None:
    """Measure throughput each way and how much the bridge's peak of memory grows meanwhile."""
    async with (
        bridge_with_worker() as (pid, url),
        httpx.AsyncClient(base_url=url, timeout=None) as client,
    ):
        await _up(client, WARM_UP_MIB)
        await _down(client, WARM_UP_MIB)
        print(f"{f'{size_mib} MiB':<12}{'MiB/s':>10}{'peak memory grows':>20}")
        for name, transfer in (("upload", _up), ("download", _down)):
            before_bytes = peak_bytes(pid)
            began_s = time.perf_counter()
            await transfer(client, size_mib)
            speed = size_mib / (time.perf_counter() - began_s)
            after_bytes = peak_bytes(pid)
            if before_bytes is None or after_bytes is None:
                growth = "unknown"
            else:
                growth = f"{(after_bytes - before_bytes) / MIB:.1f} MiB"
            print(f"{name:<12}{speed:>10,.0f}{growth:>20}")


async def _up(client: httpx.AsyncClient, size_mib: int) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(size_mib * MIB // len(CHUNK)):
            yield CHUNK

    response = await client.post("/take", content=content())
    _expect(response.json(), size_mib)


async def _down(client: httpx.AsyncClient, size_mib: int) -> None:
    received_bytes = 0
    async with client.stream("POST", "/give", params={"mib": size_mib}) as response:
        async for chunk in response.aiter_raw():
            received_bytes += len(chunk)
    _expect(received_bytes, size_mib)


def _expect(received_bytes: int, size_mib: int) -> None:
    if received_bytes != size_mib * MIB:
        raise RuntimeError(f"{received_bytes} bytes arrived of {size_mib} MiB")


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_MIB))
