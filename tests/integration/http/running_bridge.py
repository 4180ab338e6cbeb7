"""A bridge with an HTTP port and a worker port, and the real Python SDK as its client."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from bridge.builtins.channels import Channels, ChannelTable
from bridge.builtins.engine_functions import EngineFunctions
from bridge.builtins.http import Http, HttpSettings
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.listeners.channel_socket import ChannelSocket
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket
from bridge.protocol import payload
from tests.support.waiting import PATIENCE_S

Handler = Callable[[Any], Awaitable[Any]]


@dataclass
class Bridge:
    engine: Engine
    channels: ChannelTable
    http: Http
    port: int
    worker_url: str
    client: httpx.AsyncClient
    calls: list[Call] = field(default_factory=list)

    def function(self, function_id: str, answer: Any) -> None:
        """Offer a built-in function that returns a value, or what a coroutine function makes of its input."""

        async def run(call: Call) -> msgspec.Raw:
            self.calls.append(call)
            result = await answer(msgspec.json.decode(call.data)) if callable(answer) else answer
            return payload.encode(result)

        self.engine.add_builtin(function_id, run, owner_name="test")

    def route(self, function_id: str, path: str, method: str = "GET", **config: Any) -> Binding:
        binding = Binding(
            id=str(uuid.uuid4()),
            trigger_type="http",
            function_id=function_id,
            config=payload.encode({"api_path": path, "http_method": method, **config}),
        )
        self.engine.triggers.bind(binding)
        return binding


@asynccontextmanager
async def running_bridge(settings: HttpSettings) -> AsyncIterator[Bridge]:
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        engine = Engine(spawn=spawn, new_id=lambda: str(uuid.uuid4()))
        table = ChannelTable(new_id=engine.new_id, now_ms=lambda: time.time_ns() // 1_000_000)
        EngineFunctions(engine, "0").register(engine)
        Channels(table, spawn).register(engine)
        http = Http(engine, table, settings)
        http.register(engine)
        socket = WorkerSocket(engine, SocketLimits(), channels=ChannelSocket(table))
        worker_port = await socket.start("127.0.0.1", 0)
        port = await http.start()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            yield Bridge(engine, table, http, port, f"ws://127.0.0.1:{worker_port}", client)
        await http.close(deadline_s=1)
        await socket.stop_accepting()
        await socket.disconnect_all()


async def eventually(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Wait until something holds that no event tells about."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.005)


async def raw_exchange(port: int, *pieces: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
