"""A bridge with two ports: an open one for trusted workers, and one with rules."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from websockets.asyncio.client import connect

from bridge.engine.access import AccessRules
from bridge.engine.calls import Call
from bridge.errors import FunctionFailedError
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket
from bridge.protocol import payload
from tests.integration.worker_socket.live import Client, LiveBridge, live_bridge
from tests.support.waiting import PATIENCE_S

__all__ = ["Guarded", "guarded_bridge", "refuse"]

Answer = Callable[[dict[str, Any]], Any]


def refuse(_: dict[str, Any]) -> Any:
    """Answer as a function that throws."""
    raise FunctionFailedError("invocation_failed", "no")


class Guarded:
    """What a test can do with the two ports; functions it offers note what they were given."""

    def __init__(self, trusted: LiveBridge, rules: AccessRules, exits: AsyncExitStack) -> None:
        self.trusted = trusted
        self.engine = trusted.engine
        self.rules = rules
        self.given: dict[str, list[Any]] = {}
        self.limits = SocketLimits(handshake_timeout_s=PATIENCE_S)
        self._exits = exits
        self._session: LiveBridge | None = None

    async def client(self, query: str = "", **options: Any) -> Client:
        """Connect to the port with rules; the connection ends with the test."""
        url = f"ws://127.0.0.1:{await self.port()}/{query}"
        connection = await self._exits.enter_async_context(connect(url, compression=None, **options))
        greeting = json.loads(await connection.recv())
        assert greeting["type"] == "workerregistered"
        client = Client(connection, greeting)
        await client.introduce(name="guest")
        return client

    async def trusted_client(self, name: str = "trusted") -> Client:
        """Connect to the open port."""
        client = await self._exits.enter_async_context(self.trusted.client())
        await client.introduce(name=name)
        return client

    async def port(self) -> int:
        """Return the port with rules; it opens when it is first asked for."""
        if self._session is None:
            note_telemetry = self.trusted.telemetry.append
            socket = WorkerSocket(self.engine, self.limits, note_telemetry, rules=self.rules)
            port = await socket.start("127.0.0.1", 0)
            self._session = LiveBridge(self.engine, socket, port, [])
            self._exits.push_async_callback(socket.disconnect_all)
            self._exits.push_async_callback(socket.stop_accepting)
        return self._session.port

    def allow(self, **rights: Any) -> None:
        """Have the auth function give everybody these rights."""
        self.rules = replace(self.rules, auth_function_id="auth")
        self.offer("auth", lambda _: rights)

    def offer(self, function_id: str, answer: Answer = lambda given: given) -> None:
        """Offer a function of the bridge's own side."""
        notes = self.given.setdefault(function_id, [])

        def run(data: Any) -> Any:
            given = json.loads(bytes(data))
            notes.append(given)
            return payload.encode(answer(given))

        self.trusted.function(function_id, run)

    def offer_slow(self, function_id: str, release: asyncio.Event, answer: Any) -> None:
        """Offer a function that answers when it is released, or when the test ends."""

        async def run(_: Call) -> Any:
            await release.wait()
            return payload.encode(answer)

        self._exits.callback(release.set)

        self.engine.add_builtin(function_id, run, owner_name="test")

    def offers(self, function_id: str, namespace: str = "default") -> bool:
        """Tell whether somebody offers a function."""
        return self.engine.has_provider(function_id, namespace)


@asynccontextmanager
async def guarded_bridge() -> AsyncIterator[Guarded]:
    """Run a bridge until the block is left."""
    async with live_bridge() as trusted, AsyncExitStack() as exits:
        yield Guarded(trusted, AccessRules(is_guarded=True), exits)
