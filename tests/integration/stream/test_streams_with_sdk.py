import json
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from iii.helpers import create_stream
from iii.iii import III
from iii_helpers.stream import (
    StreamAuthInput,
    StreamAuthResult,
    StreamChangeEvent,
    StreamChangeEventDetail,
    StreamDeleteInput,
    StreamDeleteResult,
    StreamGetInput,
    StreamJoinLeaveEvent,
    StreamJoinResult,
    StreamListGroupsInput,
    StreamListInput,
    StreamSetInput,
    StreamSetResult,
    StreamTriggerConfig,
    StreamUpdateInput,
    StreamUpdateResult,
    UpdateMerge,
    UpdateOpError,
    UpdateRemove,
    UpdateSet,
)
from pydantic import BaseModel
from websockets.asyncio.client import connect

from tests.integration.stream.running_bridge import (
    Bridge,
    eventually,
    received,
    running_bridge,
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


async def send(worker: III, operation: str, model: BaseModel) -> Any:
    return await worker.trigger_async({"function_id": f"stream::{operation}", "payload": model.model_dump()})


async def test_the_models_of_the_sdk_are_understood_and_understand_the_answers(
    bridge: Bridge, worker: III
) -> None:
    inbox, put = thread_safe_inbox()
    worker.register_function("chat::on-change", put)
    config = StreamTriggerConfig(stream_name="chat", item_id="i1").model_dump()
    worker.register_trigger({"type": "stream", "function_id": "chat::on-change", "config": config})
    await bridge.until_bound("stream")
    item = {"stream_name": "chat", "group_id": "eu", "item_id": "i1"}

    written = await send(worker, "set", StreamSetInput(**item, data={"n": 1}))
    assert StreamSetResult[Any].model_validate(written) == StreamSetResult[Any](new_value={"n": 1})
    [event] = [StreamChangeEvent.model_validate(each) for each in await received(inbox, 1)]
    assert event.event == StreamChangeEventDetail(type="create", data={"n": 1})

    ops = [UpdateMerge(value={"a": 1}), UpdateSet(path="constructor", value=1), UpdateRemove(path="n")]
    updated = await send(worker, "update", StreamUpdateInput(**item, ops=ops))
    result = StreamUpdateResult[Any].model_validate(updated)
    assert (result.old_value, result.new_value) == ({"n": 1}, {"a": 1})
    [error] = result.errors
    assert isinstance(error, UpdateOpError)
    assert (error.op_index, error.code) == (1, "set.path.proto_polluted")

    assert await send(worker, "get", StreamGetInput(**item)) == {"a": 1}
    assert await send(worker, "list", StreamListInput(stream_name="chat", group_id="eu")) == [{"a": 1}]
    assert await send(worker, "list_groups", StreamListGroupsInput(stream_name="chat")) == ["eu"]
    deleted = await send(worker, "delete", StreamDeleteInput(**item))
    assert StreamDeleteResult.model_validate(deleted) == StreamDeleteResult(old_value={"a": 1})


async def test_a_worker_says_who_a_client_is_and_what_it_may_join(tmp_path: Path) -> None:
    def authenticate(request: dict[str, Any]) -> dict[str, Any]:
        [token] = StreamAuthInput.model_validate(request).query_params["token"]
        return StreamAuthResult(context={"room": token}).model_dump()

    def admit(request: dict[str, Any]) -> dict[str, Any]:
        event = StreamJoinLeaveEvent.model_validate(request)
        return StreamJoinResult(unauthorized=event.group_id != event.context["room"]).model_dump()

    async with running_bridge(tmp_path, auth_function="app::auth") as bridge, sdk_worker(bridge) as worker:
        worker.register_function("app::auth", authenticate)
        worker.register_function("app::admit", admit)
        worker.register_trigger({"type": "stream:join", "function_id": "app::admit", "config": {}})
        await bridge.until_bound("stream:join")
        async with connect(f"{bridge.stream_url}/?token=room-7") as client:
            seen = []
            for group in ("room-7", "room-8"):
                join = {"subscriptionId": group, "streamName": "chat", "groupId": group}
                await client.send(json.dumps({"type": "join", "data": join}))
                seen.append(json.loads(await client.recv())["event"]["type"])
    assert seen == ["sync", "unauthorized"]
