"""An engine without sockets: functions are plain Python, and its tasks are run to their end on demand."""

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import Function
from bridge.engine.triggers import Binding
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT

NO_RESULT = object()


class EngineHarness:
    def __init__(self) -> None:
        ids = itertools.count(1)
        self.engine = Engine(spawn=self._spawn, new_id=lambda: f"00000000-0000-0000-0000-{next(ids):012}")
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, function_id: str, data: Any) -> Any:
        """Return the decoded result, or `NO_RESULT`; raises FunctionFailedError."""
        return decoded(await self.call_raw(function_id, json.dumps(data).encode()))

    async def call_raw(self, function_id: str, data: bytes) -> msgspec.Raw:
        return (await self.engine.invoke(Call(function_id, msgspec.Raw(data)))).unwrap()

    def offer(self, function_id: str, behaviour: Callable[[Any], Any], *, namespace: str = "default") -> None:
        """Offer a function; what it raises is its error, and `NO_RESULT` is no result."""

        async def handle(call: Call) -> msgspec.Raw:
            result = behaviour(json.loads(bytes(call.data)))
            if asyncio.iscoroutine(result):
                result = await result
            return ABSENT if result is NO_RESULT else payload.encode(result)

        self.engine.functions.offer(Function(function_id, namespace, handle))

    def recorder(self, function_id: str, *, namespace: str = "default") -> list[Any]:
        """Offer a function that takes everything, and return the list of what it was given."""
        received: list[Any] = []
        self.offer(function_id, received.append, namespace=namespace)
        return received

    def bind(
        self,
        trigger_type: str,
        function_id: str,
        config: Any,
        *,
        trigger_id: str | None = None,
        namespace: str = "default",
        metadata: Any = None,
    ) -> str:
        binding = Binding(
            id=trigger_id or self.engine.new_id(),
            trigger_type=trigger_type,
            function_id=function_id,
            config=payload.encode(config),
            metadata=ABSENT if metadata is None else payload.encode(metadata),
            namespace=namespace,
        )
        self.engine.triggers.bind(binding)
        return binding.id

    async def settle(self) -> None:
        """Let every task finish, and those they start."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def decoded(result: msgspec.Raw) -> Any:
    return NO_RESULT if result == ABSENT else json.loads(bytes(result))
