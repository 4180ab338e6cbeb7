from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import StorageError
from bridge.storage import KeyValueStore, LazyStore, SqliteStore
from tests.unit.storage.store_contract import KeyValueStoreContract


def lazy(path: Path) -> LazyStore:
    return LazyStore(path.exists, lambda: SqliteStore.open(path, synchronous="normal"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LazyStore]:
    store = lazy(tmp_path / "data" / "a.sqlite3")
    yield store
    await store.close()


class TestLazyStore(KeyValueStoreContract):
    @pytest.fixture
    def store(self, store: LazyStore) -> KeyValueStore:
        return store


async def test_reading_makes_no_file_and_writing_does(store: LazyStore, tmp_path: Path) -> None:
    assert await store.get("a", "b") is None
    assert list(await store.list("a")) == []
    assert list(await store.list_scopes()) == []
    assert not (tmp_path / "data").exists()
    await store.set("a", "b", b"1")
    assert (tmp_path / "data" / "a.sqlite3").exists()


async def test_what_was_written_is_read_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    first = lazy(path)
    await first.set("a", "b", b"1")
    await first.close()
    second = lazy(path)
    assert list(await second.list("a")) == [b"1"]
    await second.close()


async def test_one_that_cannot_be_opened_says_so_with_each_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = lazy(tmp_path / "file" / "a.sqlite3")
    for _ in range(2):
        with pytest.raises(StorageError):
            await store.set("a", "b", b"1")
    await store.close()
