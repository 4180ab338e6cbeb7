"""One JSON route: through the bridge to a worker on the Python SDK, and in plain FastAPI on uvicorn."""

import asyncio

from bench.http_load import Load, measure
from bench.http_processes import bridge_with_worker, fastapi_server

__all__ = ["run"]

CONNECTIONS = (1, 32)
MEASURED_S = 4.0


async def run() -> None:
    """Measure both, one after the other under the same load, and print them with their ratio."""
    async with bridge_with_worker() as (_, bridge_url), fastapi_server() as fastapi_url:
        print(f"{'POST /orders, JSON':<26}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
        for connections in CONNECTIONS:
            plain = await measure(f"{fastapi_url}/orders", connections, MEASURED_S)
            bridged = await measure(f"{bridge_url}/orders", connections, MEASURED_S)
            suffix = f"{connections} connection{'s' * (connections > 1)}"
            _print_row(f"FastAPI, {suffix}", plain)
            _print_row(f"bridge, {suffix}", bridged)
            ratios = Load(
                bridged.requests_per_s / plain.requests_per_s,
                bridged.p50_ms / plain.p50_ms,
                bridged.p99_ms / plain.p99_ms,
            )
            print(
                f"{'  bridge / FastAPI':<26}{ratios.requests_per_s:>12.2f}"
                f"{ratios.p50_ms:>10.2f}{ratios.p99_ms:>10.2f}"
            )


def _print_row(label: str, load: Load) -> None:
    print(f"{label:<26}{load.requests_per_s:>12,.0f}{load.p50_ms:>10.2f}{load.p99_ms:>10.2f}")


if __name__ == "__main__":
    asyncio.run(run())
