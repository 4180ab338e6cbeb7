"""What every adapter of the key-value port must do; a test class inherits it and provides `store`."""

import asyncio
from collections.abc import Callable

import pytest

from bridge.errors import StorageError
from bridge.storage import Entry, KeyValueStore, VersionConflictError, Written

UNUSUAL_NAMES = [
    "",
    " ",
    "a ",
    "\0",
    "a\0",
    "a\0b",
    "a",
    "A",
    "%",
    "_",
    "a:b",
    "é",
    "e\u0301",
    "\uffff",
    "𝄞",
    "'; --",
]


def add(amount: int) -> Callable[[bytes | None], bytes]:
    return lambda current: str(int(current or b"0") + amount).encode()


def explode(_current: bytes | None) -> bytes:
    raise ZeroDivisionError


class KeyValueStoreContract:
    async def test_a_missing_entry_is_none(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        assert await store.get("orders", "b") is None
        assert await store.get("other", "a") is None

    async def test_set_reports_what_it_replaced_and_counts_versions(self, store: KeyValueStore) -> None:
        assert await store.set("orders", "a", b"1") == Written(None, b"1", 1)
        assert await store.set("orders", "a", b"2") == Written(b"1", b"2", 2)
        assert await store.get("orders", "a") == Entry(b"2", 2)

    async def test_a_null_is_an_entry(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"null")
        assert await store.get("orders", "a") == Entry(b"null", 1)
        assert await store.list("orders") == [b"null"]
        assert await store.delete("orders", "a") == b"null"

    @pytest.mark.parametrize("value", [b' { "a" : 1.0,"a":1e400 } ', b"", b"\0\xff", b"7" * 1_000_000])
    async def test_values_come_back_byte_for_byte(self, store: KeyValueStore, value: bytes) -> None:
        await store.set("orders", "a", value)
        assert await store.get("orders", "a") == Entry(value, 1)

    async def test_delete_returns_the_value_once(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        assert await store.delete("orders", "a") == b"1"
        assert await store.delete("orders", "a") is None
        assert await store.get("orders", "a") is None

    async def test_a_recreated_entry_starts_at_version_one(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        await store.set("orders", "a", b"2")
        await store.delete("orders", "a")
        assert await store.set("orders", "a", b"3") == Written(None, b"3", 1)

    async def test_update_applies_the_change_to_what_is_there(self, store: KeyValueStore) -> None:
        assert await store.update("orders", "a", add(2)) == Written(None, b"2", 1)
        assert await store.update("orders", "a", add(3)) == Written(b"2", b"5", 2)
        assert await store.get("orders", "a") == Entry(b"5", 2)

    async def test_an_update_that_raises_fails_alone_and_writes_nothing(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        results = await asyncio.gather(
            store.set("orders", "before", b"1"),
            store.update("orders", "a", explode),
            store.update("new", "a", explode),
            store.set("orders", "after", b"1"),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [
            Written,
            ZeroDivisionError,
            ZeroDivisionError,
            Written,
        ]
        assert await store.get("orders", "a") == Entry(b"1", 1)
        assert await store.list("orders") == [b"1", b"1", b"1"]
        assert await store.list_scopes() == ["orders"]

    async def test_fifty_writers_on_one_key_lose_nothing(self, store: KeyValueStore) -> None:
        async def write(writer: int) -> list[int]:
            return [(await store.update("orders", "a", add(writer))).version for _ in range(4)]

        versions = await asyncio.gather(*(write(writer) for writer in range(50)))
        assert sorted(version for of_one in versions for version in of_one) == list(range(1, 201))
        assert all(of_one == sorted(of_one) for of_one in versions)
        assert await store.get("orders", "a") == Entry(str(4 * sum(range(50))).encode(), 200)

    async def test_each_of_fifty_overwriting_writers_sees_another_predecessor(
        self, store: KeyValueStore
    ) -> None:
        values = [str(writer).encode() for writer in range(50)]
        written = await asyncio.gather(*(store.set("orders", "a", value) for value in values))
        last = await store.get("orders", "a")
        assert last is not None
        predecessors = {write.old_value for write in written}
        assert predecessors == {None, *values} - {last.value}

    async def test_one_of_fifty_writers_with_the_same_expectation_wins(self, store: KeyValueStore) -> None:
        results = await asyncio.gather(
            *(store.set("orders", "a", str(writer).encode(), expected_version=0) for writer in range(50)),
            return_exceptions=True,
        )
        winners = [result for result in results if isinstance(result, Written)]
        losers = [result for result in results if isinstance(result, VersionConflictError)]
        assert (len(winners), len(losers)) == (1, 49)
        assert await store.get("orders", "a") == Entry(winners[0].new_value, 1)

    async def test_one_of_two_concurrent_deletes_gets_the_value(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        removed = await asyncio.gather(store.delete("orders", "a"), store.delete("orders", "a"))
        assert set(removed) == {b"1", None}

    async def test_operations_of_one_caller_take_effect_in_the_order_of_the_calls(
        self, store: KeyValueStore
    ) -> None:
        results = await asyncio.gather(
            store.set("orders", "a", b"1"),
            store.get("orders", "a"),
            store.delete("orders", "a"),
            store.get("orders", "a"),
        )
        assert list(results) == [Written(None, b"1", 1), Entry(b"1", 1), b"1", None]

    async def test_a_matching_expected_version_writes(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1", expected_version=0)
        await store.set("orders", "a", b"2", expected_version=1)
        assert await store.delete("orders", "a", expected_version=2) == b"2"
        assert await store.delete("orders", "a", expected_version=0) is None

    @pytest.mark.parametrize("expected_version", [0, 1, 3])
    async def test_another_expected_version_writes_nothing(
        self, store: KeyValueStore, expected_version: int
    ) -> None:
        await store.set("orders", "a", b"1")
        await store.set("orders", "a", b"2")
        for operation in (
            store.set("orders", "a", b"3", expected_version=expected_version),
            store.delete("orders", "a", expected_version=expected_version),
        ):
            with pytest.raises(VersionConflictError) as caught:
                await operation
            assert (caught.value.expected_version, caught.value.current_version) == (expected_version, 2)
        assert await store.get("orders", "a") == Entry(b"2", 2)

    async def test_a_missing_entry_has_version_zero(self, store: KeyValueStore) -> None:
        with pytest.raises(VersionConflictError) as caught:
            await store.set("orders", "a", b"1", expected_version=1)
        assert caught.value.current_version == 0
        with pytest.raises(VersionConflictError):
            await store.delete("orders", "a", expected_version=1)
        assert await store.list_scopes() == []

    async def test_list_keeps_the_order_of_first_insertion(self, store: KeyValueStore) -> None:
        for key in "cabde":
            await store.set("orders", key, key.encode())
        await store.set("orders", "a", b"A")
        await store.update("orders", "c", lambda _: b"C")
        assert await store.list("orders") == [b"C", b"A", b"b", b"d", b"e"]

    @pytest.mark.parametrize("key", ["a", "b", "c"])
    async def test_deleting_and_setting_again_moves_to_the_end(self, store: KeyValueStore, key: str) -> None:
        for name in "abc":
            await store.set("orders", name, name.encode())
        await store.delete("orders", key)
        await store.set("orders", key, b"again")
        assert await store.list("orders") == [*(name.encode() for name in "abc" if name != key), b"again"]

    async def test_an_unknown_scope_lists_nothing(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        assert await store.list("order") == []

    async def test_scopes_are_sorted_unique_and_hold_something(self, store: KeyValueStore) -> None:
        for scope in ["orders", "audit", "orders", "emptied", "Zebra"]:
            await store.set(scope, "a", b"1")
        await store.set("orders", "b", b"1")
        await store.delete("emptied", "a")
        assert await store.list_scopes() == ["Zebra", "audit", "orders"]

    async def test_scopes_can_be_filtered_by_a_literal_prefix(self, store: KeyValueStore) -> None:
        for scope in ["a", "a%b", "a%", "axb", "a_", "b", "A%"]:
            await store.set(scope, "k", b"1")
        assert await store.list_scopes("a%") == ["a%", "a%b"]
        assert await store.list_scopes("a_") == ["a_"]
        assert await store.list_scopes("c") == []

    async def test_lists_amid_writes_and_deletes_show_each_entry_once(self, store: KeyValueStore) -> None:
        async def come_and_go(writer: int) -> None:
            key = str(writer % 4)
            for _ in range(10):
                await store.set("orders", key, key.encode())
                await store.delete("orders", key)

        async def look() -> None:
            for _ in range(20):
                values = await store.list("orders")
                assert len(values) == len(set(values))
                assert list(await store.list_scopes()) in ([], ["orders"])

        await asyncio.gather(*(come_and_go(writer) for writer in range(12)), look(), look())
        assert (list(await store.list("orders")), list(await store.list_scopes())) == ([], [])

    async def test_any_text_is_a_name_of_its_own(self, store: KeyValueStore) -> None:
        for scope in UNUSUAL_NAMES:
            for key in UNUSUAL_NAMES:
                await store.set(scope, key, repr((scope, key)).encode())
        for scope in UNUSUAL_NAMES:
            assert await store.list(scope) == [repr((scope, key)).encode() for key in UNUSUAL_NAMES]
            assert await store.get(scope, "a\0") == Entry(repr((scope, "a\0")).encode(), 1)
        assert await store.list_scopes() == sorted(UNUSUAL_NAMES, key=str.encode)
        assert await store.list_scopes("a\0") == ["a\0", "a\0b"]

    async def test_a_closed_store_refuses_every_operation(self, store: KeyValueStore) -> None:
        await store.set("orders", "a", b"1")
        await store.close()
        await store.close()
        for operation in (
            store.get("orders", "a"),
            store.set("orders", "a", b"1"),
            store.delete("orders", "a"),
            store.update("orders", "a", add(1)),
            store.list("orders"),
            store.list_scopes(),
        ):
            with pytest.raises(StorageError, match="closed"):
                await operation
