"""One look for everybody who asks within a few seconds."""

import asyncio
from collections.abc import Sequence

import pytest

from bridge.engine.observation import QueueState
from bridge.errors import EngineError
from bridge.temporal.shared_look import SharedLook


class Server:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.reads = 0
        self.is_up = True
        self.look = SharedLook(self.read, lambda: self.now_s)

    async def read(self) -> Sequence[QueueState]:
        self.reads += 1
        await asyncio.sleep(0)
        if not self.is_up:
            raise EngineError("away")
        return [QueueState("pay", 0, 0, 0, self.reads)]


async def test_many_who_ask_at_once_share_one_look() -> None:
    server = Server()
    seen = await asyncio.gather(*(server.look.read() for _ in range(10)))
    assert server.reads == 1
    assert {queue.dead_letters for queues in seen for queue in queues} == {1}
    server.now_s = 60
    assert (await server.look.read())[0].dead_letters == 2


async def test_an_outage_is_asked_about_no_more_often() -> None:
    server = Server()
    server.is_up = False
    for _ in range(3):
        with pytest.raises(EngineError, match="away"):
            await server.look.read()
    assert server.reads == 1
    server.is_up, server.now_s = True, 60
    assert await server.look.read()
