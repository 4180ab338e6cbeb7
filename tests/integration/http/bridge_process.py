"""A bridge in a process of its own, so that its memory can be told from that of its clients.

It prints its addresses as one line of JSON and runs until its standard input is closed. `GET /peak` answers
with the most bytes of memory it ever held.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from bridge.builtins.http import HttpSettings
from tests.integration.http.running_bridge import running_bridge


def _peak_bytes() -> int:
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in each)
    return int(line.split()[1]) * 1024


async def _peak(_: Any) -> Any:
    return {"body": _peak_bytes()}


async def _main() -> None:
    async with running_bridge(HttpSettings(port=0)) as bridge:
        bridge.function("process::peak_bytes", _peak)
        bridge.route("process::peak_bytes", "/peak")
        addresses = {"http_url": f"http://127.0.0.1:{bridge.port}", "worker_url": bridge.worker_url}
        print(json.dumps(addresses), flush=True)  # noqa: T201 - what the test reads
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_main())
