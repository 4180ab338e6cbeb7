"""Where a bridge from a configuration keeps state (docs/deviations.md)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge.storage import Entry, SqliteStore
from tests.support.fake_sdk import FakeSdk
from tests.support.running_bridge import bridge_config, new_prefix, running_bridge, write_config

NO_TEMPORAL = "127.0.0.1:1"  # state needs none
ENTRY = {"scope": "orders", "key": "o-17"}


@asynccontextmanager
async def worker_of_bridge(directory: Path, store: dict[str, Any]) -> AsyncIterator[FakeSdk]:
    prefix = new_prefix()
    config = bridge_config(NO_TEMPORAL, prefix, {})
    config["workers"].append({"name": "iii-state", "config": {"adapter": {"name": "kv", "config": store}}})
    path = write_config(directory, config)
    async with running_bridge(path, None, prefix, awaits_temporal=False) as bridge:
        yield await bridge.connect()


async def test_a_write_is_on_disk_when_it_is_acknowledged_whatever_the_save_interval(tmp_path: Path) -> None:
    store = {"file_path": str(tmp_path / "data"), "save_interval_ms": 3_600_000}
    async with worker_of_bridge(tmp_path, store) as worker:
        await worker.trigger("state::set", {**ENTRY, "value": 12})
        on_disk = await SqliteStore.open(tmp_path / "data" / "bridge-state.sqlite3")
        assert await on_disk.get(**ENTRY) == Entry(b"12", 1)
        await on_disk.close()


async def test_files_of_iiis_engine_are_neither_read_nor_changed(tmp_path: Path) -> None:
    theirs = tmp_path / "orders.bin"
    theirs.write_bytes(b'{"a":1}\xff')
    async with worker_of_bridge(tmp_path, {"file_path": str(tmp_path)}) as worker:
        assert await worker.trigger("state::list_groups", {}) == {"groups": []}
        await worker.trigger("state::set", {**ENTRY, "value": 1})
        assert await worker.trigger("state::list", {"scope": "orders"}) == [1]
    assert theirs.read_bytes() == b'{"a":1}\xff'
