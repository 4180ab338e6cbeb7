"""A worker that speaks the protocol itself: many functions, any namespace, any moment to leave."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.waiting import PATIENCE_S

Handler = Callable[[Any], Awaitable[Any]]


class RawWorker:
    """One connection. Handlers run one after the other."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._handlers: dict[str, Handler] = {}
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._pongs: asyncio.Queue[None] = asyncio.Queue()
        self.called: list[str] = []
        self.invocations: list[dict[str, Any]] = []
        self.rejections: list[dict[str, Any]] = []

    async def function(self, function_id: str, answer: Any, **about: Any) -> None:
        """Offer a function that returns a value, or what a coroutine function makes of its input."""

        async def constant(_: Any) -> Any:
            return answer

        self._handlers[function_id] = answer if callable(answer) else constant
        await self.say("registerfunction", id=function_id, **about)
        await self.settled()

    async def route(self, function_id: str, path: str, method: str = "GET", **about: Any) -> str:
        """Bind a function to a path; returns the id of the trigger."""
        trigger_id = str(uuid.uuid4())
        config = {"api_path": path, "http_method": method, **about.pop("config", {})}
        await self.say(
            "registertrigger",
            id=trigger_id,
            trigger_type="http",
            function_id=function_id,
            config=config,
            **about,
        )
        await self.settled()
        return trigger_id

    async def call(self, function_id: str, data: Any = None) -> Any:
        """Call a function; returns its result, or the `error` it failed with."""
        invocation_id = str(uuid.uuid4())
        self._answers[invocation_id] = asyncio.get_running_loop().create_future()
        await self.say(
            "invokefunction", invocation_id=invocation_id, function_id=function_id, data=data or {}
        )
        async with asyncio.timeout(PATIENCE_S):
            return await self._answers[invocation_id]

    async def say(self, kind: str, **fields: Any) -> None:
        await self._connection.send(json.dumps({"type": kind, **fields}))

    async def settled(self) -> None:
        """Wait until the bridge has taken everything said so far."""
        await self.say("ping")
        async with asyncio.timeout(PATIENCE_S):
            await self._pongs.get()

    async def listen(self) -> None:
        try:
            async for text in self._connection:
                await self._take(json.loads(text))
        except ConnectionClosed:
            pass

    async def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "pong":
                self._pongs.put_nowait(None)
            case "triggerregistrationresult":
                self.rejections.append(message["error"])
            case "invocationresult":
                answer = message["error"] if message.get("error") else message.get("result")
                self._answers.pop(message["invocation_id"]).set_result(answer)
            case "invokefunction":
                self.called.append(message["function_id"])
                self.invocations.append(message)
                about = {key: message[key] for key in ("invocation_id", "function_id")}
                result = await self._handlers[message["function_id"]](message["data"])
                await self.say("invocationresult", **about, result=result)


@asynccontextmanager
async def raw_worker(url: str, namespace: str | None = None) -> AsyncIterator[RawWorker]:
    """Connect a worker of a namespace."""
    async with connect(url, max_size=None) as connection, asyncio.TaskGroup() as tasks:
        worker = RawWorker(connection)
        listening = tasks.create_task(worker.listen(), name="raw worker")
        about = {"runtime": "node", "version": "0.25.0", "name": "raw"}
        await worker.call(
            "engine::workers::register", about | ({"namespace": namespace} if namespace else {})
        )
        yield worker
        listening.cancel()
