import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from iii.helpers import create_stream
from iii.iii import III
from iii_helpers.stream import StreamDeleteResult, StreamSetResult

from tests.integration.stream.running_bridge import (
    Bridge,
    eventually,
    received,
    sdk_worker,
    thread_safe_inbox,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # the SDK deprecates streams of one's own
    from iii.stream import IStream

    class Inventory(IStream[Any]):
        """A stream kept in a dict of the worker."""

        def __init__(self) -> None:
            self.items: dict[str, Any] = {}

        async def get(self, input: Any) -> Any:  # noqa: A002 - the SDK's name
            return self.items.get(input.item_id)

        async def set(self, input: Any) -> Any:  # noqa: A002 - the SDK's name
            old_value = self.items.get(input.item_id)
            self.items[input.item_id] = input.data
            return StreamSetResult(old_value=old_value, new_value=input.data)

        async def delete(self, input: Any) -> Any:  # noqa: A002 - the SDK's name
            return StreamDeleteResult(old_value=self.items.pop(input.item_id, None))

        async def list(self, input: Any) -> Any:  # noqa: A002, ARG002 - the SDK's name
            return [*self.items.values()]

        async def list_groups(self, input: Any) -> Any:  # noqa: A002, ARG002 - the SDK's name
            return ["eu"]

        async def update(self, input: Any) -> Any:  # noqa: A002 - the SDK's name
            raise NotImplementedError(input)


pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:iii", "ignore:register_trigger"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
async def worker(bridge: Bridge) -> AsyncIterator[III]:
    async with sdk_worker(bridge) as worker:
        yield worker


async def call(worker: III, operation: str, stream: str, item: str | None = "i1", **fields: Any) -> Any:
    names = {"stream_name": stream, "group_id": "eu"} | ({} if item is None else {"item_id": item})
    return await worker.trigger_async({"function_id": f"stream::{operation}", "payload": {**names, **fields}})


async def test_items_are_written_changed_listed_and_deleted(worker: III) -> None:
    assert await call(worker, "get", "chat") is None
    assert await call(worker, "set", "chat", data={"n": 1}) == {"old_value": None, "new_value": {"n": 1}}
    ops = [{"type": "merge", "path": ["a", "b"], "value": {"c": 1}}]
    updated = await call(worker, "update", "chat", ops=ops)
    assert updated == {"old_value": {"n": 1}, "new_value": {"n": 1, "a": {"b": {"c": 1}}}}
    assert await call(worker, "list", "chat", None) == [updated["new_value"]]
    assert await call(worker, "list_groups", "chat", None) == ["eu"]
    assert await call(worker, "delete", "chat") == {"old_value": updated["new_value"]}
    assert await call(worker, "get", "chat") is None
    assert await call(worker, "send", "chat", None, type="typing", data={}) is None


async def test_a_stream_of_the_workers_own_keeps_its_items(bridge: Bridge, worker: III) -> None:
    inventory = Inventory()
    create_stream(worker, "inventory", inventory)
    await eventually(lambda: bridge.engine.has_provider("stream::list_groups(inventory)"))
    assert await call(worker, "set", "inventory", data={"n": 1}) == {"old_value": None, "new_value": {"n": 1}}
    updated = await call(worker, "update", "inventory", ops=[{"type": "increment", "path": "n", "by": 4}])
    assert updated == {"old_value": {"n": 1}, "new_value": {"n": 5}}
    assert inventory.items == {"i1": {"n": 5}}
    assert await call(worker, "get", "inventory") == {"n": 5}
    assert await call(worker, "list", "inventory", None) == [{"n": 5}]
    assert await call(worker, "list_groups", "inventory", None) == ["eu"]
    assert await call(worker, "delete", "inventory") == {"old_value": {"n": 5}}
    assert await call(worker, "get", "inventory") is None


async def test_a_trigger_runs_a_function_with_the_envelope(bridge: Bridge, worker: III) -> None:
    inbox, put = thread_safe_inbox()
    worker.register_function("chat::on-change", put)
    worker.register_trigger(
        {"type": "stream", "function_id": "chat::on-change", "config": {"stream_name": "chat"}}
    )
    await bridge.until_bound("stream")
    await call(worker, "set", "chat", data=1)
    [event] = await received(inbox, 1)
    assert event.pop("timestamp") > 0
    assert event == {
        "type": "stream",
        "streamName": "chat",
        "groupId": "eu",
        "id": "i1",
        "event": {"type": "create", "data": 1},
    }
