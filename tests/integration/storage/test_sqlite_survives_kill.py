import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from bridge.storage import SqliteStore

REPOSITORY = Path(__file__).parents[3]

WRITER = """
import asyncio, sys
from pathlib import Path
from bridge.storage import SqliteStore

async def write(store, writer):
    number = 0
    while True:
        key = f"{writer}-{number}"
        await store.set("orders", key, key.encode())
        print(key, flush=True)
        number += 1

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as tasks:
        for writer in range(20):
            tasks.create_task(write(store, writer))

asyncio.run(main())
"""


async def test_every_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), cwd=REPOSITORY, stdout=PIPE
    )
    assert writer.stdout is not None
    acknowledged = [await writer.stdout.readline() for _ in range(500)]
    writer.kill()
    acknowledged += (await writer.stdout.read()).splitlines(keepends=True)
    await writer.wait()

    store = await SqliteStore.open(path)
    found = set(await store.list("orders"))
    await store.close()
    keys = {line.rstrip() for line in acknowledged if line.endswith(b"\n")}  # the last line may be cut off
    assert len(keys) >= 500
    assert keys <= found
