import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from iii.iii import III

from tests.integration.stream.running_bridge import Bridge, received, sdk_worker, thread_safe_inbox

# The SDK points to triggers by observation, which these tests are not about.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:iii", "ignore:register_trigger")

ENTRY = {"scope": "orders", "key": "o-17"}


@pytest.fixture
async def worker(bridge: Bridge) -> AsyncIterator[III]:
    async with sdk_worker(bridge) as worker:
        yield worker


async def call(worker: III, function_id: str, payload: Any) -> Any:
    return await worker.trigger_async({"function_id": function_id, "payload": payload})


async def test_entries_are_written_read_listed_and_deleted(worker: III) -> None:
    assert await call(worker, "state::get", ENTRY) is None
    first = await call(worker, "state::set", {**ENTRY, "value": {"total": 12}})
    assert first == {"old_value": None, "new_value": {"total": 12}}
    second = await call(worker, "state::set", {**ENTRY, "value": {"total": 15}})
    assert second == {"old_value": {"total": 12}, "new_value": {"total": 15}}
    assert await call(worker, "state::get", ENTRY) == {"total": 15}
    assert await call(worker, "state::list", {"scope": "orders"}) == [{"total": 15}]
    assert await call(worker, "state::list_groups", {}) == {"groups": ["orders"]}
    assert await call(worker, "state::delete", ENTRY) == {"total": 15}
    assert await call(worker, "state::delete", ENTRY) is None


async def test_concurrent_updates_of_one_entry_on_disk_lose_nothing(worker: III) -> None:
    update = {
        **ENTRY,
        "ops": [
            {"type": "increment", "path": "n", "by": 1},
            {"type": "append", "path": "log", "value": ["x"]},
        ],
    }
    await asyncio.gather(*(call(worker, "state::update", update) for _ in range(100)))
    entry = await call(worker, "state::get", ENTRY)
    assert (entry["n"], len(entry["log"])) == (100, 100)


async def test_of_concurrent_compare_and_sets_one_wins(worker: III) -> None:
    async def attempt(number: int) -> bool:
        try:
            await call(worker, "state::set", {**ENTRY, "value": number, "expected_version": 0})
        except Exception as exc:  # noqa: BLE001 - the SDK's error class differs between its versions
            assert "VERSION_CONFLICT" in repr(exc)  # noqa: PT017 - most of the attempts must fail
            return False
        return True

    assert sum(await asyncio.gather(*(attempt(number) for number in range(20)))) == 1


async def test_a_trigger_runs_a_function_with_the_event(bridge: Bridge, worker: III) -> None:
    inbox, put = thread_safe_inbox()
    worker.register_function("orders::is-big", lambda event: event["new_value"]["total"] > 10)
    worker.register_function("orders::on-change", put)
    worker.register_trigger(
        {
            "type": "state",
            "function_id": "orders::on-change",
            "config": {"scope": "orders", "condition_function_id": "orders::is-big"},
        }
    )
    await bridge.until_bound("state")
    for total in (5, 12):
        await call(worker, "state::set", {**ENTRY, "value": {"total": total}})
    assert await received(inbox, 1) == [
        {
            "type": "state",
            "event_type": "state:updated",
            **ENTRY,
            "old_value": {"total": 5},
            "new_value": {"total": 12},
        }
    ]
