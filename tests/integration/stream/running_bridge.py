"""A bridge with state on disk, streams, pub/sub and both sockets; and the real Python SDK as its client."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from iii import InitOptions, register_worker
from iii.iii import III

from bridge.builtins.engine_functions import EngineFunctions
from bridge.builtins.pubsub import PubSub
from bridge.builtins.state import State, StateSettings
from bridge.builtins.stream import Stream, StreamSettings
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT
from bridge.storage import LocalBroker, MemoryStore, SqliteStore
from tests.support.waiting import PATIENCE_S


@dataclass
class Bridge:
    engine: Engine
    stream: Stream
    stream_url: str
    worker_url: str

    async def call(self, function_id: str, data: Any) -> Any:
        result = (await self.engine.invoke(Call(function_id, payload.encode(data)))).unwrap()
        return None if result == ABSENT else json.loads(bytes(result))

    async def write(self, data: Any, item: str = "m1") -> None:
        await self.call(
            "stream::set", {"stream_name": "chat", "group_id": "room-7", "item_id": item, "data": data}
        )

    def offer(self, function_id: str, behaviour: Callable[[Any], Any]) -> None:
        """Offer a function of the bridge itself."""

        async def handle(call: Call) -> msgspec.Raw:
            result = behaviour(json.loads(bytes(call.data)))
            if asyncio.iscoroutine(result):
                result = await result
            return payload.encode(result)

        self.engine.add_builtin(function_id, handle, owner_name="test")

    def bind(self, trigger_type: str, function_id: str, config: Any) -> None:
        self.engine.triggers.bind(
            Binding(self.engine.new_id(), trigger_type, function_id, payload.encode(config))
        )

    async def until_bound(self, *trigger_types: str) -> None:
        """Wait until bindings of all these types are in force: SDKs are not told when theirs are."""
        await eventually(
            lambda: {*trigger_types} <= {each.trigger_type for each in self.engine.triggers.bindings}
        )


@asynccontextmanager
async def running_bridge(directory: Path, **stream_settings: Any) -> AsyncIterator[Bridge]:
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        engine = Engine(spawn=spawn, new_id=lambda: str(uuid.uuid4()))
        EngineFunctions(engine, "0.0.0").register(engine)
        store = await SqliteStore.open(directory / "state.sqlite3")
        State(store, LocalBroker(), StateSettings()).register(engine)
        PubSub(LocalBroker()).register(engine)
        stream = Stream(MemoryStore(), LocalBroker(), StreamSettings(port=0, **stream_settings))
        stream.register(engine)
        workers = WorkerSocket(engine, SocketLimits())
        worker_port = await workers.start("127.0.0.1", 0)
        stream_port = await stream.start()
        try:
            yield Bridge(engine, stream, f"ws://127.0.0.1:{stream_port}", f"ws://127.0.0.1:{worker_port}")
        finally:
            await stream.close()
            await workers.stop_accepting()
            await workers.disconnect_all()
            await store.close()


@asynccontextmanager
async def sdk_worker(bridge: Bridge) -> AsyncIterator[III]:
    """A worker with the real SDK, which runs in a thread of its own."""
    options = InitOptions(worker_name="test", otel={"enabled": False}, enable_metrics_reporting=False)
    worker = await asyncio.to_thread(register_worker, bridge.worker_url, options)
    try:
        yield worker
    finally:
        await asyncio.to_thread(worker.shutdown)
        worker._loop.close()  # the SDK stops its loop and leaves it open


async def eventually(holds: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Wait until something holds that no event tells about."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - the SDK's thread and the kernel set no event
            await asyncio.sleep(0.005)


async def received(inbox: "asyncio.Queue[Any]", count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE_S):
        return [await inbox.get() for _ in range(count)]


def thread_safe_inbox() -> tuple["asyncio.Queue[Any]", Callable[[Any], None]]:
    """A queue, and what a handler in the SDK's thread calls to put into it."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(item: Any) -> None:
        loop.call_soon_threadsafe(inbox.put_nowait, item)

    return inbox, put
