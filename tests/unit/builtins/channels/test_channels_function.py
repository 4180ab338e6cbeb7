"""`engine::channels::create` (spec 04 §6.1)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import pytest

from bridge.builtins.channels import Channels, ChannelTable
from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        yield Engine(spawn=spawn, new_id=lambda: str(uuid.uuid4()))


@pytest.fixture
def table(engine: Engine) -> ChannelTable:
    table = ChannelTable(new_id=engine.new_id, now_ms=lambda: 0)
    Channels(table, engine.spawn).register(engine)
    return table


async def create(engine: Engine, data: bytes) -> Outcome:
    return await engine.invoke(Call("engine::channels::create", msgspec.Raw(data)))


@pytest.mark.parametrize(
    "data", [b"{}", b'{"buffer_size":null}', b'{"buffer_size":0}', b'{"buffer_size":2048,"x":1}']
)
async def test_creating_returns_the_references_of_both_ends(
    data: bytes, engine: Engine, table: ChannelTable
) -> None:
    outcome = await create(engine, data)
    refs = msgspec.json.decode(outcome.unwrap())
    assert refs["writer"] == {**refs["reader"], "direction": "write"}
    assert refs["reader"]["direction"] == "read"
    assert table.find(refs["reader"]["channel_id"], refs["reader"]["access_key"]) is not None


@pytest.mark.parametrize("data", [b"null", b'{"buffer_size":"big"}', b'{"buffer_size":1.5}'])
async def test_a_wrong_input_is_refused(data: bytes, engine: Engine, table: ChannelTable) -> None:
    outcome = await create(engine, data)
    assert outcome.error is not None
    assert outcome.error.code == "deserialization_error"
    assert len(table) == 0


async def test_the_sweep_ends_when_the_worker_is_closed(engine: Engine, table: ChannelTable) -> None:
    channels = Channels(table, engine.spawn)
    await channels.start()
    await channels.close()  # the fixture's task group would wait for ever for a sweep that goes on
