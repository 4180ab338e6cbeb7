import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import BridgeError, StorageError
from bridge.storage import Entry, KeyValueStore, MemoryStore, SqliteStore, Written
from bridge.storage.entry_table import EntryTable, Synchronous
from tests.support.waiting import PATIENCE_S
from tests.unit.storage.store_contract import KeyValueStoreContract, add

Operation = Callable[[KeyValueStore], Awaitable[Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, busy_timeout_s=0)
    yield store
    await store.close()


@contextmanager
def raw_connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        yield connection


async def query(store: SqliteStore, statement: str) -> list[tuple[Any, ...]]:
    return await store._committer.perform(lambda table: table._query(statement), writes=False)


def overwrite_all_but_the_first_page(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096].ljust(len(content), b"\xaa"))


class TestSqliteStore(KeyValueStoreContract):
    @pytest.fixture
    def store(self, store: SqliteStore) -> KeyValueStore:
        return store


async def test_order_values_and_versions_survive_reopening(path: Path) -> None:
    first = await SqliteStore.open(path)
    for key in "cabde":
        await first.set("orders", key, key.encode())
    await first.set("orders", "a", b"A")
    await first.delete("orders", "b")
    await first.set("orders", "b", b"B")
    await first.close()

    second = await SqliteStore.open(path)
    await second.set("orders", "f", b"f")
    assert await second.list("orders") == [b"c", b"A", b"d", b"e", b"B", b"f"]
    assert await second.get("orders", "a") == Entry(b"A", 2)
    await second.close()


async def test_two_stores_on_one_file_lose_nothing(path: Path) -> None:
    one, other = await SqliteStore.open(path), await SqliteStore.open(path)
    await asyncio.gather(*(store.update("orders", "a", add(1)) for store in (one, other) for _ in range(50)))
    assert await one.get("orders", "a") == await other.get("orders", "a") == Entry(b"100", 100)
    await one.close()
    await other.close()


async def test_writes_handed_in_together_share_transactions(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[bool] = []
    transaction = EntryTable.transaction

    def count(table: EntryTable, *, writes: bool) -> Any:
        begun.append(writes)
        return transaction(table, writes=writes)

    monkeypatch.setattr(EntryTable, "transaction", count)
    await asyncio.gather(*(store.set("orders", str(number), b"1") for number in range(100)))
    assert begun == [True]


async def test_work_handed_in_during_a_commit_is_done_after_it(store: SqliteStore) -> None:
    loop, is_running, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def linger(_current: bytes | None) -> bytes:
        loop.call_soon_threadsafe(is_running.set)
        assert may_end.wait(timeout=5)
        return b"1"

    async with asyncio.timeout(PATIENCE_S):
        first = asyncio.create_task(store.update("orders", "a", linger))
        await is_running.wait()
        second = asyncio.create_task(store.set("orders", "b", b"2"))
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        may_end.set()
        assert (await first, await second) == (Written(None, b"1", 1), Written(None, b"2", 1))
        await closing


async def test_more_callers_than_there_is_room_for_are_all_served(path: Path) -> None:
    store = await SqliteStore.open(path, max_pending=2)
    await asyncio.gather(*(store.update("orders", "a", add(1)) for _ in range(20)))
    assert await store.get("orders", "a") == Entry(b"20", 20)
    await store.close()


async def test_a_cancelled_caller_leaves_its_room_to_the_next(path: Path) -> None:
    store = await SqliteStore.open(path, max_pending=1)
    async with asyncio.timeout(PATIENCE_S):
        caller = asyncio.create_task(store.set("orders", "a", b"1"))
        await asyncio.sleep(0)
        caller.cancel()
        assert await store.set("orders", "b", b"2") == Written(None, b"2", 1)
    assert caller.cancelled()
    await store.close()


async def test_closing_finishes_what_is_under_way(path: Path) -> None:
    store = await SqliteStore.open(path)
    writes = [asyncio.create_task(store.set("orders", str(number), b"1")) for number in range(100)]
    await asyncio.sleep(0)
    await store.close()
    assert all(write.result().version == 1 for write in writes)

    reopened = await SqliteStore.open(path)
    assert len(await reopened.list("orders")) == 100
    await reopened.close()


async def test_closing_refuses_who_found_no_room(path: Path) -> None:
    store = await SqliteStore.open(path, max_pending=1)
    writes = [asyncio.create_task(store.set("orders", str(number), b"1")) for number in range(3)]
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [Written, StorageError, StorageError]


async def test_the_event_loop_is_never_blocked(path: Path) -> None:
    with blockbuster_ctx():
        store = await SqliteStore.open(path)
        await asyncio.gather(*(store.set("orders", str(number), b"1") for number in range(10)))
        await store.update("orders", "1", add(1))
        await store.delete("orders", "2")
        assert len(await store.list("orders")) == 9
        assert await store.list_scopes() == ["orders"]
        await store.close()


@pytest.mark.parametrize(("synchronous", "level", "full"), [("full", 2, 1), ("normal", 1, 0)])
async def test_the_file_is_in_wal_mode_and_flushed_as_asked(
    path: Path, synchronous: Synchronous, level: int, full: int
) -> None:
    store = await SqliteStore.open(path, synchronous=synchronous)
    assert await query(store, "PRAGMA journal_mode") == [("wal",)]
    assert await query(store, "PRAGMA synchronous") == [(level,)]
    assert await query(store, "PRAGMA fullfsync") == [(full,)]
    await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing but notes\n" * 100)
    with pytest.raises(StorageError, match=r"notes\.txt.*not a SQLite database"):
        await SqliteStore.open(path)
    assert path.read_text() == "nothing but notes\n" * 100


async def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with raw_connection(path) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    with raw_connection(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StorageError, match="version 2"):
        await SqliteStore.open(path)


async def test_a_directory_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        await SqliteStore.open(tmp_path)


async def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="check the path"):
        await SqliteStore.open(tmp_path / "file" / "state.sqlite3")


async def test_a_damaged_file_says_so(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.set("orders", "a", b"1" * 100_000)
    await store.close()
    overwrite_all_but_the_first_page(path)
    store = await SqliteStore.open(path)
    with pytest.raises(StorageError, match="damaged"):
        await store.list("orders")
    await store.close()


async def test_a_foreign_lock_stops_writes_but_not_reads(store: SqliteStore, path: Path) -> None:
    await store.set("orders", "a", b"1")
    with raw_connection(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another process keeps it locked"):
            await store.set("orders", "a", b"2")
        assert await store.get("orders", "a") == Entry(b"1", 1)
        other.execute("COMMIT")
    assert await store.set("orders", "a", b"3") == Written(b"1", b"3", 2)


async def test_a_full_disk_fails_what_was_not_committed_and_nothing_else(store: SqliteStore) -> None:
    await store.set("orders", "a", b"1")
    await query(store, "PRAGMA max_page_count = 10")
    results = await asyncio.gather(
        store.set("orders", "small", b"1"),
        store.set("orders", "large", b"1" * 1_000_000),
        return_exceptions=True,
    )
    for result in results:
        assert isinstance(result, StorageError)
        assert "the disk is full" in str(result)
    assert await store.list("orders") == [b"1"]
    assert await store.set("orders", "a", b"2") == Written(b"1", b"2", 2)


async def test_a_read_only_store_says_so(store: SqliteStore) -> None:
    await store.set("orders", "a", b"1")
    await query(store, "PRAGMA query_only = 1")
    with pytest.raises(StorageError, match="read-only"):
        await store.set("orders", "a", b"2")
    assert await store.get("orders", "a") == Entry(b"1", 1)


def operations() -> st.SearchStrategy[Operation]:
    names, values = st.sampled_from(["", "a", "b"]), st.sampled_from([b"1", b"null"])
    expected = st.none() | st.integers(0, 2)
    return st.one_of(
        st.builds(lambda s, k: lambda store: store.get(s, k), names, names),
        st.builds(
            lambda s, k, v, e: lambda store: store.set(s, k, v, expected_version=e),
            names,
            names,
            values,
            expected,
        ),
        st.builds(
            lambda s, k, e: lambda store: store.delete(s, k, expected_version=e), names, names, expected
        ),
        st.builds(lambda s, k: lambda store: store.update(s, k, lambda old: old or b"new"), names, names),
        st.builds(lambda s: lambda store: store.list(s), names),
        st.builds(lambda s: lambda store: store.list_scopes(s), names),
    )


async def outcome(operation: Operation, store: KeyValueStore) -> Any:
    try:
        return await operation(store)
    except BridgeError as exc:
        return str(exc)


@settings(max_examples=30, deadline=None)
@given(st.lists(operations(), max_size=30))
async def test_it_agrees_with_the_store_in_memory(sequence: list[Operation]) -> None:
    memory = MemoryStore()
    with TemporaryDirectory() as directory:
        sqlite = await SqliteStore.open(Path(directory) / "state.sqlite3", synchronous="normal")
        together = await asyncio.gather(*(outcome(operation, sqlite) for operation in sequence))
        await sqlite.close()
    assert together == [await outcome(operation, memory) for operation in sequence]
