import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.builtins.stream import Stream, StreamSettings
from bridge.builtins.stream.session import StreamSession
from bridge.protocol import payload
from bridge.storage import LocalBroker, MemoryStore
from tests.unit.builtins.state.engine_harness import EngineHarness


class Client:
    """A stream client without a socket: what it sends takes effect at once, what it gets is kept."""

    def __init__(self, stream: Stream, context: Any) -> None:
        assert stream._socket is not None
        self.frames: list[dict[str, Any]] = []
        self._session = StreamSession(stream._socket._membership, self._take, payload.encode(context))

    async def join(self, subscription_id: str, stream: str, group: str, item: str | None = None) -> None:
        await self._send("join", subscription_id, stream, group, item)

    async def leave(self, subscription_id: str, stream: str, group: str, item: str | None = None) -> None:
        await self._send("leave", subscription_id, stream, group, item)

    async def send(self, frame: str | bytes) -> None:
        await self._session.receive(frame)

    def close(self) -> None:
        self._session.close()

    def take(self) -> list[dict[str, Any]]:
        """Return what has come since the last time."""
        taken = self.frames[:]
        self.frames.clear()
        return taken

    async def _send(self, kind: str, subscription_id: str, stream: str, group: str, item: str | None) -> None:
        data = {"subscriptionId": subscription_id, "streamName": stream, "groupId": group}
        if item is not None:
            data["id"] = item
        await self._session.receive(json.dumps({"type": kind, "data": data}))

    def _take(self, frame: bytes) -> None:
        self.frames.append(json.loads(frame))


class StreamHarness(EngineHarness):
    """An engine that serves streams from memory; the clock shows 1001, 1002 and so on."""

    def __init__(self, settings: StreamSettings = StreamSettings()) -> None:  # noqa: B008 - frozen
        super().__init__()
        clock = itertools.count(1001)
        self.store = MemoryStore()
        self.stream = Stream(self.store, LocalBroker(), settings, now_ms=lambda: next(clock))
        self.stream.register(self.engine)

    def client(self, context: Any = None) -> Client:
        return Client(self.stream, context)

    async def write(self, data: Any, item: str = "m1", *, group: str = "room-7", stream: str = "chat") -> Any:
        answer = await self.call(
            "stream::set", {"stream_name": stream, "group_id": group, "item_id": item, "data": data}
        )
        await self.settle()
        return answer


@pytest.fixture
async def harness() -> AsyncIterator[StreamHarness]:
    harness = StreamHarness()
    yield harness
    await harness.aclose()
