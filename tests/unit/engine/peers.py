"""An engine without sockets: workers are peers that say frames and hear messages, in memory."""

import asyncio
import itertools
import json
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from bridge.builtins.engine_functions import EngineFunctions
from bridge.engine.engine import Engine
from bridge.engine.functions import DuplicatePolicy
from bridge.engine.session import WorkerSession
from bridge.engine.workers import Worker
from bridge.protocol import codec
from bridge.protocol.outbound import OutboundMessage

__all__ = ["Bridge", "Peer", "uuid"]


def uuid(number: int) -> str:
    """Return the UUID of a small number."""
    return str(UUID(int=number))


class Peer:
    """A worker as it sees itself: it says frames, hears messages, and may be dropped."""

    def __init__(self, bridge: "Bridge", number: int, user_agent: str | None = None) -> None:
        self.heard: list[dict[str, Any]] = []
        self.was_aborted = False
        self.was_closed = False
        self.has_room = True
        self.worker = Worker(
            id=uuid(number),
            send=self._hear,
            abort=self._abort,
            reattach_token=f"token-{number}",
            connected_at_ms=1_780_000_000_000 + number,
            user_agent=user_agent,
            close=self._close,
            has_room=lambda: self.has_room,
        )
        self._bridge = bridge
        self._session = WorkerSession(bridge.engine, self.worker, bridge.spawn)
        self._session.open()

    @property
    def id(self) -> str:
        return self.worker.id

    def say(self, kind: str, **fields: Any) -> None:
        """Send one frame."""
        self._session.receive(json.dumps(fields | {"type": kind}))

    def say_text(self, frame: str | bytes) -> None:
        """Send one frame as it stands."""
        self._session.receive(frame)

    async def introduce(self, **about: Any) -> None:
        """Call `engine::workers::register` as the SDKs do."""
        data = {"runtime": "python", "version": "0.25.0", **about}
        self.say(
            "invokefunction", function_id="engine::workers::register", data=data, action={"type": "void"}
        )
        await self._bridge.settle()

    async def call(self, function_id: str, data: Any = None, **fields: Any) -> dict[str, Any]:
        """Call a function that answers without another worker's help, and return the answer."""
        call_id = self._bridge.new_id()
        fields = {"function_id": function_id, "invocation_id": call_id, **fields}
        self.say("invokefunction", **fields, data={} if data is None else data)
        await self._bridge.settle()
        (answer,) = [each for each in self.take("invocationresult") if each["invocation_id"] == call_id]
        return answer

    def take(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the messages heard, of one type or of all, and forget them."""
        taken = [each for each in self.heard if kind in (None, each["type"])]
        self.heard = [each for each in self.heard if each not in taken]
        return taken

    def take_one(self, kind: str) -> dict[str, Any]:
        """Return the only message of a type."""
        (message,) = self.take(kind)
        return message

    def leave(self) -> None:
        """Disconnect."""
        self._session.close()

    def end_grace(self) -> None:
        """Let the time pass in which a namespace could be named."""
        self._session.settle_namespace()

    def _hear(self, message: OutboundMessage) -> None:
        self.heard.append(json.loads(codec.encode(message)))

    def _abort(self) -> None:
        self.was_aborted = True

    def _close(self) -> None:
        self.was_closed = True


class Bridge:
    """An engine and the peers connected to it."""

    def __init__(
        self,
        duplicates: DuplicatePolicy = "balance",
        *,
        has_namespaces: bool = False,
        answer_timeout_s: float = 10,
    ) -> None:
        self._ids = itertools.count(0x1000)
        self._peers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.engine = Engine(spawn=self.spawn, new_id=self.new_id, duplicates=duplicates)
        if has_namespaces:
            functions = EngineFunctions(
                self.engine,
                "1.2.3",
                now_ms=lambda: 1_780_000_000_000,
                answer_timeout_s=answer_timeout_s,
            )
            functions.register(self.engine)

    def new_id(self) -> str:
        return uuid(next(self._ids))

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def connect(self, user_agent: str | None = None) -> Peer:
        """Connect a worker that has heard nothing yet but its greeting."""
        return Peer(self, next(self._peers), user_agent)

    def connect_greeted(self) -> Peer:
        """Connect a worker and forget its greeting."""
        peer = self.connect()
        peer.take()
        return peer

    async def settle(self) -> None:
        """Let every task go as far as it can without news from outside."""
        for _ in range(10):
            await asyncio.sleep(0)
