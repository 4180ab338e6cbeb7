"""A bridge on a real socket, and clients that speak frames over it."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from bridge.builtins.engine_functions import EngineFunctions
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.workers import Worker
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket

__all__ = ["Client", "LiveBridge", "live_bridge"]

UNLIMITED = 2**30


class Client:
    """A worker of few words: it says frames, and waits for the messages it is interested in."""

    def __init__(self, connection: ClientConnection, greeting: dict[str, Any]) -> None:
        self.connection = connection
        self.id: str = greeting["worker_id"]
        self.token: str = greeting["reattach_token"]

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps(fields | {"type": kind}))

    async def hear(self, kind: str) -> dict[str, Any]:
        """Wait for the next message of a type; others are passed over."""
        while True:
            message: dict[str, Any] = json.loads(await self.connection.recv())
            if message["type"] == kind:
                return message

    async def introduce(self, **about: Any) -> None:
        """Call `engine::workers::register` and wait for the answer."""
        data = {"runtime": "node", "version": "0.25.0", **about}
        assert (await self.call("engine::workers::register", data))["result"] == {"success": True}

    async def call(self, function_id: str, data: Any = None, **fields: Any) -> dict[str, Any]:
        """Call a function and wait for its answer."""
        call_id = str(uuid.uuid4())
        fields = {"function_id": function_id, "invocation_id": call_id, **fields}
        await self.say("invokefunction", **fields, data={} if data is None else data)
        while True:
            answer = await self.hear("invocationresult")
            if answer["invocation_id"] == call_id:
                return answer

    async def serve_one(self, result: Any = None) -> dict[str, Any]:
        """Answer the next call with a result, by default with its payload."""
        asked = await self.hear("invokefunction")
        await self.say(
            "invocationresult",
            invocation_id=asked["invocation_id"],
            function_id=asked["function_id"],
            result=asked["data"] if result is None else result,
        )
        return asked

    async def is_served(self) -> bool:
        """Tell whether the bridge still answers this client."""
        await self.say("ping")
        return (await self.hear("pong")) == {"type": "pong"}


class LiveBridge:
    """What a test can see and do of a running bridge."""

    def __init__(self, engine: Engine, socket: WorkerSocket, port: int, telemetry: list[bytes]) -> None:
        self.engine = engine
        self.socket = socket
        self.port = port
        self.telemetry = telemetry
        self._gone: dict[str, asyncio.Event] = {}
        engine.on_worker_event.append(self._note)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        """Connect a worker that has been greeted."""
        async with connect(self.url, max_size=UNLIMITED, compression=None, **options) as connection:
            greeting = json.loads(await connection.recv())
            assert greeting["type"] == "workerregistered"
            yield Client(connection, greeting)

    async def departure_of(self, worker_id: str) -> None:
        """Wait until the engine has forgotten a worker."""
        if worker_id in self.engine.workers:
            await self._gone.setdefault(worker_id, asyncio.Event()).wait()

    def forget_departures(self) -> None:
        """Forget which workers have left."""
        self._gone.clear()

    def function(self, function_id: str, run: Callable[[msgspec.Raw], msgspec.Raw]) -> None:
        """Offer a built-in function."""

        async def handle(call: Call) -> msgspec.Raw:
            return run(call.data)

        self.engine.add_builtin(function_id, handle, owner_name="test")

    def _note(self, event: str, worker: Worker) -> None:
        if event == "worker_disconnected":
            self._gone.setdefault(worker.id, asyncio.Event()).set()


@asynccontextmanager
async def live_bridge(
    limits: SocketLimits | None = None, port: int = 0, poll_interval_s: float = 5
) -> AsyncIterator[LiveBridge]:
    """Run a bridge until the block is left."""
    telemetry: list[bytes] = []
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
            tasks.create_task(work, name=name)

        engine = Engine(spawn=spawn, new_id=lambda: str(uuid.uuid4()))
        functions = EngineFunctions(engine, "1.2.3", poll_interval_s=poll_interval_s)
        functions.register(engine)
        await functions.start()
        socket = WorkerSocket(engine, limits or SocketLimits(), telemetry.append)
        bound_port = await socket.start("127.0.0.1", port)
        try:
            yield LiveBridge(engine, socket, bound_port, telemetry)
        finally:
            await socket.stop_accepting()
            await socket.disconnect_all()
            await functions.close()
