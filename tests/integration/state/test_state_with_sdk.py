import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from iii import InvocationError, TriggerAction
from iii.iii import III
from iii.state import (
    StateDeleteInput,
    StateEventData,
    StateEventType,
    StateGetInput,
    StateListInput,
    StateSetInput,
    StateSetResult,
    StateUpdateInput,
    StateUpdateResult,
)
from iii_helpers.stream import (
    UpdateAppend,
    UpdateDecrement,
    UpdateIncrement,
    UpdateMerge,
    UpdateOpError,
    UpdateRemove,
    UpdateSet,
)
from pydantic import BaseModel

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


async def send(worker: III, function_id: str, model: BaseModel) -> Any:
    return await call(worker, function_id, model.model_dump())


async def test_the_models_of_the_sdk_are_understood_and_understand_the_answers(worker: III) -> None:
    before = {"status": "new", "log": ["a"], "note": "hi", "gone": 1}
    written = await send(worker, "state::set", StateSetInput(**ENTRY, value=before))
    assert StateSetResult[Any].model_validate(written) == StateSetResult[Any](new_value=before)
    update = StateUpdateInput(
        **ENTRY,
        ops=[
            UpdateSet(path="status", value="paid"),
            UpdateAppend(path="log", value="b"),
            UpdateAppend(path="note", value=" there"),
            UpdateAppend(path=["by", "day"], value=1),
            UpdateMerge(value={"total": 3}),
            UpdateIncrement(path="total", by=2),
            UpdateDecrement(path="total", by=1),
            UpdateDecrement(path="log", by=1),
            UpdateRemove(path="gone"),
            UpdateSet(path="a.b", value=None),
        ],
    )
    answer = await send(worker, "state::update", update)
    after = {
        "status": "paid",
        "log": ["a", "b"],
        "note": "hi there",
        "by": {"day": [1]},
        "total": 4,
        "a.b": None,
    }
    assert StateUpdateResult[Any].model_validate(answer) == StateUpdateResult[Any](
        old_value=before, new_value=after
    )
    [error] = [UpdateOpError.model_validate(each) for each in answer["errors"]]
    assert (error.op_index, error.code) == (7, "decrement.not_number")
    assert await send(worker, "state::get", StateGetInput(**ENTRY)) == after
    assert await send(worker, "state::list", StateListInput(scope="orders")) == [after]
    assert await send(worker, "state::delete", StateDeleteInput(**ENTRY)) == after


async def test_a_fractional_amount_is_refused_although_the_model_takes_it(worker: III) -> None:
    update = StateUpdateInput(**ENTRY, ops=[UpdateIncrement(path="total", by=49.9)])
    with pytest.raises(InvocationError) as caught:
        await send(worker, "state::update", update)
    assert caught.value.code == "deserialization_error"
    assert await call(worker, "state::get", ENTRY) is None


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


async def test_a_write_nobody_waits_for_happens_and_its_event_fits_the_model(
    bridge: Bridge, worker: III
) -> None:
    inbox, put = thread_safe_inbox()
    worker.register_function("orders::on-change", put)
    worker.register_trigger({"type": "state", "function_id": "orders::on-change", "config": {}})
    await bridge.until_bound("state")
    request = {
        "function_id": "state::set",
        "payload": {**ENTRY, "value": 1},
        "action": TriggerAction.Void(),
    }
    assert await worker.trigger_async(request) is None
    [event] = await received(inbox, 1)
    assert StateEventData[int].model_validate(event) == StateEventData[int](
        event_type=StateEventType.CREATED, **ENTRY, new_value=1
    )
    assert await call(worker, "state::get", ENTRY) == 1
