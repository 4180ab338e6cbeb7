"""A bridge in a process of its own, so that its memory can be told from that of its clients.

It takes settings of its HTTP port as one argument of JSON, prints its addresses as one line of JSON and runs
until its standard input is closed. `GET /peak` answers with the most bytes of memory it ever held, and
`GET /connections` with how many clients its HTTP port has.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from bridge.builtins.http import HttpSettings
from bridge.listeners.open_files import raise_open_file_limit
from tests.integration.http.running_bridge import running_bridge


def _peak_bytes() -> int:
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in each)
    return int(line.split()[1]) * 1024


async def _peak(_: Any) -> Any:
    return {"body": _peak_bytes()}


async def _main() -> None:
    raise_open_file_limit()

    async def connections(_: Any) -> Any:
        return {"body": bridge.http.connection_count}

    async with running_bridge(HttpSettings(port=0, **json.loads(sys.argv[1]))) as bridge:
        bridge.function("process::connections", connections)
        bridge.route("process::connections", "/connections")
        bridge.function("process::peak_bytes", _peak)
        bridge.route("process::peak_bytes", "/peak")
        addresses = {"http_url": f"http://127.0.0.1:{bridge.port}", "worker_url": bridge.worker_url}
        print(json.dumps(addresses), flush=True)  # noqa: T201 - what the test reads
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_main())
