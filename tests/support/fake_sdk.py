"""A tiny iii worker that speaks the protocol itself: fast, deterministic, and able to misbehave."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.waiting import PATIENCE_S


class CallFailed(Exception):  # noqa: N818 - reads as the wire's answer
    """The bridge, or a handler, answered with an error."""

    def __init__(self, code: str, message: str, stacktrace: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.stacktrace = stacktrace


@dataclass
class Delivered:
    """One call that a handler got, and its way to make calls that belong to it."""

    sdk: "FakeSdk"
    function_id: str
    data: Any
    metadata: Any
    invocation_id: str
    baggage: str | None
    traceparent: str | None
    caller: dict[str, Any] | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """What its own calls say of it: the baggage, and where the bridge named the caller, that again."""
        named = {"invocation_id": self.invocation_id, "parent": self.caller} if self.caller else None
        return {"baggage": self.baggage, "caller": named}

    @property
    def durable(self) -> dict[str, Any]:
        """The durable context, in the metadata of deliveries."""
        context: dict[str, Any] = self.metadata["iii-temporal"]
        return context

    async def enqueue(self, function_id: str, data: Any, queue: str, **extra: Any) -> str:
        return await self.sdk.enqueue(function_id, data, queue, **{**self.shown, **extra})

    async def trigger(self, function_id: str, data: Any = None, **extra: Any) -> Any:
        return await self.sdk.trigger(function_id, data, **{**self.shown, **extra})


Handler = Callable[[Delivered], Awaitable[Any]]


@dataclass
class FakeSdk:
    """One connection."""

    connection: ClientConnection
    handlers: dict[str, Handler] = field(default_factory=dict)
    calls: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    delivered: list[Delivered] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    pong: asyncio.Event = field(default_factory=asyncio.Event)
    drop_answers_to: set[str] = field(default_factory=set)

    async def offer(self, **handlers: Handler) -> None:
        """Register functions by keyword; `__` in a name is `::`."""
        await self.register({name.replace("__", "::"): handler for name, handler in handlers.items()})

    async def register(self, handlers: dict[str, Handler], metadata: dict[str, Any] | None = None) -> None:
        """Register functions, all with the same metadata; returns when the bridge has them."""
        for function_id, handler in handlers.items():
            self.handlers[function_id] = handler
            frame = {"type": "registerfunction", "id": function_id}
            await self.send(frame | ({"metadata": metadata} if metadata else {}))
        await self.settled()

    async def withdraw(self, function_id: str) -> None:
        """Unregister a function; returns when the bridge knows."""
        await self.send({"type": "unregisterfunction", "id": function_id})
        await self.settled()

    async def settled(self) -> None:
        """Return when the bridge has taken every frame sent so far."""
        self.pong.clear()
        await self.send({"type": "ping"})
        async with asyncio.timeout(PATIENCE_S):
            await self.pong.wait()

    async def trigger(self, function_id: str, data: Any = None, **extra: Any) -> Any:
        """Call a function and return its result.

        Raises:
            CallFailed: It answered with an error.
        """
        invocation_id = str(uuid.uuid4())
        answer = asyncio.get_running_loop().create_future()
        self.calls[invocation_id] = answer
        frame = {
            "type": "invokefunction",
            "invocation_id": invocation_id,
            "function_id": function_id,
            "data": data,
            **{key: value for key, value in extra.items() if value is not None},
        }
        await self.send(frame)
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def enqueue(self, function_id: str, data: Any, queue: str, **extra: Any) -> str:
        """Enqueue and return the receipt."""
        result = await self.trigger(function_id, data, action={"type": "enqueue", "queue": queue}, **extra)
        assert list(result) == ["messageReceiptId"]
        return str(result["messageReceiptId"])

    def drop(self) -> None:
        """Vanish without a close frame, as a killed worker does."""
        self.connection.transport.abort()

    async def send(self, frame: dict[str, Any]) -> None:
        await self.connection.send(json.dumps(frame))

    async def read(self) -> None:
        try:
            async for text in self.connection:
                self._receive(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            for answer in self.calls.values():
                if not answer.done():
                    answer.set_exception(CallFailed("connection_closed", "the bridge went away"))
                    answer.exception()  # nobody may be waiting any more

    def _receive(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "pong":
                self.pong.set()
            case "invocationresult":
                self._settle(frame)
            case "invokefunction":
                task = asyncio.create_task(self._run(frame), name=f"handler {frame['function_id']}")
                self.running.add(task)
                task.add_done_callback(self.running.discard)
            case _:
                pass

    def _settle(self, frame: dict[str, Any]) -> None:
        answer = self.calls.pop(frame["invocation_id"])
        if answer.done():
            return
        if error := frame.get("error"):
            answer.set_exception(CallFailed(error["code"], error["message"], error.get("stacktrace")))
        else:
            answer.set_result(frame.get("result"))

    async def _run(self, frame: dict[str, Any]) -> None:
        call = Delivered(
            self,
            frame["function_id"],
            frame.get("data"),
            frame.get("metadata"),
            frame["invocation_id"],
            frame.get("baggage"),
            frame.get("traceparent"),
            frame.get("caller"),
        )
        self.delivered.append(call)
        reply: dict[str, Any] = {
            "type": "invocationresult",
            "invocation_id": call.invocation_id,
            "function_id": call.function_id,
        }
        try:
            reply["result"] = await self.handlers[call.function_id](call)
        except CallFailed as exc:
            reply["error"] = {"code": exc.code, "message": exc.message, "stacktrace": exc.stacktrace}
        except Exception as exc:  # noqa: BLE001 - what an SDK does with a handler's exception
            reply["error"] = {
                "code": "invocation_failed",
                "message": str(exc),
                "stacktrace": f"Traceback: {exc!r}",
            }
        if call.invocation_id not in self.drop_answers_to:
            with suppress(ConnectionClosed):
                await self.send(reply)


@asynccontextmanager
async def connected(url: str, namespace: str | None = None, **options: Any) -> AsyncIterator[FakeSdk]:
    """Connect a worker, already settled in its namespace."""
    options = {"max_size": None, "open_timeout": PATIENCE_S, "close_timeout": 1, **options}
    async with connect(url, **options) as connection:
        sdk = FakeSdk(connection)
        reading = asyncio.create_task(sdk.read(), name="fake sdk reader")
        try:
            await sdk.trigger(
                "engine::workers::register",
                {"runtime": "node", "version": "0.25.0", "name": "fake", "namespace": namespace},
            )
            yield sdk
        finally:
            for task in list(sdk.running):
                task.cancel()
            await asyncio.gather(*sdk.running, return_exceptions=True)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
