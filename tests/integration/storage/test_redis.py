import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.errors import StorageError
from bridge.storage import Entry, RedisStore, Written
from tests.integration.storage.redis_server import RedisServer
from tests.unit.storage.store_contract import KeyValueStoreContract, add


@pytest.fixture
async def store(shared_server: RedisServer, prefix: str) -> AsyncIterator[RedisStore]:
    store = await RedisStore.open(shared_server.url, prefix=prefix)
    yield store
    await store.close()


@pytest.fixture
async def other(shared_server: RedisServer, prefix: str) -> AsyncIterator[RedisStore]:
    """The same data, as another bridge sees it."""
    store = await RedisStore.open(shared_server.url, prefix=prefix)
    yield store
    await store.close()


@pytest.fixture
async def fragile(server: RedisServer) -> AsyncIterator[RedisStore]:
    """A store whose server a test may kill."""
    store = await RedisStore.open(server.url, prefix="iii")
    yield store
    await store.close()


async def keys_of(store: RedisStore) -> list[bytes]:
    keys: list[bytes] = await store._link.execute("KEYS", f"{store._prefix}:*")
    return sorted(keys)


class TestRedisStore(KeyValueStoreContract):
    pass


async def test_bridges_see_each_others_writes_at_once(store: RedisStore, other: RedisStore) -> None:
    assert await store.set("orders", "a", b"1") == Written(None, b"1", 1)
    assert await other.set("orders", "a", b"2") == Written(b"1", b"2", 2)
    assert await store.get("orders", "a") == Entry(b"2", 2)


async def test_bridges_with_another_prefix_share_nothing(
    store: RedisStore, shared_server: RedisServer, prefix: str
) -> None:
    await store.set("orders", "a", b"1")
    stranger = await RedisStore.open(shared_server.url, prefix=f"{prefix}x")
    assert await stranger.get("orders", "a") is None
    assert await stranger.list_scopes() == []
    await stranger.close()


async def test_fifty_writers_on_two_bridges_lose_nothing(store: RedisStore, other: RedisStore) -> None:
    async def write(number: int) -> list[int]:
        bridge = (store, other)[number % 2]
        return [(await bridge.update("orders", "a", add(number))).version for _ in range(4)]

    versions = await asyncio.gather(*(write(number) for number in range(50)))
    assert sorted(version for of_one in versions for version in of_one) == list(range(1, 201))
    assert await other.get("orders", "a") == Entry(str(4 * sum(range(50))).encode(), 200)


class Interruption:
    """An update; while it is computed for the first time, another bridge does something else."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.seen: list[bytes | None] = []

    def change(self, current: bytes | None) -> bytes:
        self.seen.append(current)
        return (current or b"") + b"!"

    def before_the_write(self, *others: Any) -> None:
        """Have other operations done between the update's read and its write."""
        run = self._store._run

        async def run_late(*arguments: Any) -> Any:
            setattr(self._store, "_run", run)  # noqa: B010 - a method, which mypy would not let us replace
            for operation in others:
                await operation()
            return await run(*arguments)

        setattr(self._store, "_run", run_late)  # noqa: B010 - likewise


@pytest.mark.parametrize("was_there", [True, False])
async def test_an_update_that_another_bridge_overtakes_starts_again(
    store: RedisStore, other: RedisStore, was_there: bool
) -> None:
    if was_there:
        await store.set("orders", "a", b"old")
    update = Interruption(store)
    update.before_the_write(lambda: other.set("orders", "a", b"new"))
    written = await store.update("orders", "a", update.change)
    assert update.seen == [b"old" if was_there else None, b"new"]
    assert written == Written(b"new", b"new!", 3 if was_there else 2)


async def test_an_update_does_not_take_a_recreated_entry_for_the_one_it_read(
    store: RedisStore, other: RedisStore
) -> None:
    await store.set("orders", "a", b"old")
    update = Interruption(store)
    update.before_the_write(
        lambda: other.delete("orders", "a"), lambda: other.set("orders", "a", b"new")
    )  # which has version 1 again
    written = await store.update("orders", "a", update.change)
    assert update.seen == [b"old", b"new"]
    assert written == Written(b"new", b"new!", 2)


async def test_an_update_of_an_entry_deleted_meanwhile_creates_it(
    store: RedisStore, other: RedisStore
) -> None:
    await store.set("orders", "a", b"old")
    update = Interruption(store)
    update.before_the_write(lambda: other.delete("orders", "a"))
    assert await store.update("orders", "a", update.change) == Written(None, b"!", 1)


async def test_deleting_everything_leaves_nothing_but_the_counters(store: RedisStore) -> None:
    for scope in ("orders", "audit"):
        for key in "ab":
            await store.set(scope, key, b"1")
    for scope in ("orders", "audit"):
        for key in "ab":
            await store.delete(scope, key)
    assert await keys_of(store) == [f"{store._prefix}:{name}".encode() for name in ("layout", "position")]


async def test_what_was_acknowledged_survives_the_death_of_a_durable_server(
    fragile: RedisStore, server: RedisServer
) -> None:
    for key in "cab":
        await fragile.set("orders", key, key.encode())
    await server.kill()
    await server.start()
    assert await fragile.list("orders") == [b"c", b"a", b"b"]
    assert await fragile.set("orders", "d", b"d") == Written(None, b"d", 1)
    assert await fragile.list("orders") == [b"c", b"a", b"b", b"d"]


async def test_while_the_server_is_away_calls_fail_and_then_work_again(
    fragile: RedisStore, server: RedisServer
) -> None:
    await fragile.set("orders", "a", b"1")
    await server.kill()
    for operation in (
        fragile.get("orders", "a"),
        fragile.set("orders", "a", b"2"),
        fragile.delete("orders", "a"),
        fragile.update("orders", "a", add(1)),
        fragile.list("orders"),
        fragile.list_scopes(),
    ):
        with pytest.raises(StorageError, match=f"Redis at 127.0.0.1:{server.port} cannot be used"):
            await operation
    await server.start()
    assert await fragile.get("orders", "a") == Entry(b"1", 1)


async def test_calls_under_way_when_the_server_dies_all_end(fragile: RedisStore, server: RedisServer) -> None:
    calls = [asyncio.create_task(fragile.update("orders", str(n), add(n))) for n in range(200)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    more = [asyncio.create_task(fragile.set("orders", str(n), b"7")) for n in range(200)]
    await asyncio.sleep(0)
    await server.kill()
    results = await asyncio.gather(*calls, *more, return_exceptions=True)
    assert {type(result) for result in results} <= {Written, StorageError}


async def test_more_calls_than_may_wait_all_get_their_turn(shared_server: RedisServer, prefix: str) -> None:
    store = await RedisStore.open(shared_server.url, prefix=prefix, max_pending=3)
    await asyncio.gather(*(store.update("orders", "a", add(1)) for _ in range(50)))
    await asyncio.gather(*(store.set("orders", str(number), b"1") for number in range(50)))
    assert await store.get("orders", "a") == Entry(b"50", 50)
    await store.close()


async def test_a_caller_that_gives_up_harms_no_other(store: RedisStore) -> None:
    impatient = asyncio.create_task(store.set("orders", "a", b"1"))
    patient = asyncio.create_task(store.set("orders", "b", b"2"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == Written(None, b"2", 1)
    assert await store.get("orders", "b") == Entry(b"2", 1)


async def test_closing_finishes_the_calls_under_way(store: RedisStore, other: RedisStore) -> None:
    calls = [asyncio.create_task(store.set("orders", str(number), b"1")) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*calls)
    assert len(await other.list("orders")) == 20


async def test_a_command_the_server_refuses_fails_alone(store: RedisStore, prefix: str) -> None:
    await store._link.execute("SET", f"{prefix}:entries:broken", "no hash")
    results = await asyncio.gather(
        store.set("orders", "a", b"1"),
        store.set("broken", "a", b"1"),
        store.get("orders", "a"),
        return_exceptions=True,
    )
    assert (results[0], results[2]) == (Written(None, b"1", 1), Entry(b"1", 1))
    assert isinstance(results[1], StorageError)
    assert "refused a command" in str(results[1])


async def test_data_of_a_newer_bridge_is_refused(store: RedisStore, shared_server: RedisServer) -> None:
    await store._link.execute("SET", f"{store._prefix}:layout", "2")
    with pytest.raises(StorageError, match="start the bridge that wrote it"):
        await RedisStore.open(shared_server.url, prefix=store._prefix)


async def test_a_server_that_is_not_there_is_named_without_its_password(server: RedisServer) -> None:
    await server.kill()
    with pytest.raises(StorageError) as caught:
        await RedisStore.open(f"redis://me:secret@127.0.0.1:{server.port}/3", prefix="iii")
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_name_that_no_text_can_carry_fails_alone(store: RedisStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        await store.set("\ud800", "a", b"1")
    assert await store.set("orders", "a", b"1") == Written(None, b"1", 1)
