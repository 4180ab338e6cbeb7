"""Sends one HTTP request over and over: `python -m bench.http_load URL CONNECTIONS SECONDS`.

A process of its own, on bare sockets, so that the client costs the servers as little as possible. It prints
one line of JSON: requests per second and the latencies.
"""

import asyncio
import json
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop

__all__ = ["Load", "measure"]

WARM_UP_S = 0.5
BODY = json.dumps({"lines": [{"sku": f"sku-{n}", "quantity": n, "price": 3} for n in range(1, 6)]}).encode()
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200"


@dataclass(frozen=True)
class Load:
    """What a server did under load."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


async def measure(url: str, connections: int, seconds: float) -> Load:
    """Run the load in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.http_load",
        url,
        str(connections),
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    return Load(**json.loads(output))


class _Client(asyncio.Protocol):
    """Sends the next request as soon as it has the response to the last one."""

    def __init__(self, request: bytes, latencies_s: list[float]) -> None:
        self._request = request
        self._latencies_s = latencies_s
        self._received = b""
        self._sent_at_s = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None or not head.startswith(_OK):
            raise RuntimeError(f"unexpected response: {self._received!r}")
        if len(body) >= int(length[1]):
            self._latencies_s.append(time.perf_counter() - self._sent_at_s)
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._received = b""
        self._sent_at_s = time.perf_counter()
        self._transport.write(self._request)


async def _run(url: str, connections: int, seconds: float) -> Load:
    address = urlsplit(url)
    head = (
        f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    latencies_s: list[float] = []
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(
            lambda: _Client(head.encode() + BODY, latencies_s), address.hostname or "", address.port or 80
        )
    await asyncio.sleep(WARM_UP_S)
    latencies_s.clear()
    began_s = time.perf_counter()
    await asyncio.sleep(seconds)
    measured_s = time.perf_counter() - began_s
    percentiles = statistics.quantiles(latencies_s, n=100)
    return Load(len(latencies_s) / measured_s, percentiles[49] * 1000, percentiles[98] * 1000)


if __name__ == "__main__":
    target, how_many, how_long = sys.argv[1:]
    print(json.dumps(asdict(uvloop.run(_run(target, int(how_many), float(how_long))))))
