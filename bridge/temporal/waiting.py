"""Messages that wait for somebody to offer their function: find them and tell them when somebody does."""

import asyncio
from collections.abc import Callable

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.connection import TemporalConnection
from bridge.temporal.query_text import quoted
from workflows.contract import SearchAttribute, Signal, Tenancy
from workflows.names import search_text

__all__ = ["WaitingMessages"]

log = structlog.get_logger("bridge.queue")

_LOOKS_S = (0.0, 0.5, 2.0)
"""When to look after an offer: the search attribute of a message that began to wait just before shows up a
little later. What these looks miss, the message's own timer catches."""
_FUNCTIONS_PER_QUERY = 20
_FUNCTIONS_SEARCHED_FOR = 100
"""Of how many functions one look asks for what waits for them; of more, it asks for everything that waits."""


class WaitingMessages:
    """Wakes what waits for a function.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._looks_due: dict[str, list[float]] = {}
        self._offered = asyncio.Event()

    def function_offered(self, function_id: str) -> None:
        """Note that somebody has begun to offer a function."""
        now_s = asyncio.get_running_loop().time()
        self._looks_due[function_id] = [now_s + after_s for after_s in _LOOKS_S]
        self._offered.set()

    async def run(self) -> None:
        """Wake what waits for the functions offered since, again and again.

        Cancellation: safe.
        """
        client = await self._connection.wait()
        while True:
            await self._until_a_look_is_due()
            functions = self._take_due()
            if self._tenancy().has_search_attributes:
                await self._look(client, functions)

    async def _until_a_look_is_due(self) -> None:
        while True:
            self._offered.clear()
            next_s = min((looks[0] for looks in self._looks_due.values()), default=None)
            if next_s is not None and next_s <= asyncio.get_running_loop().time():
                return
            try:
                async with asyncio.timeout_at(next_s):
                    await self._offered.wait()
            except TimeoutError:
                return

    def _take_due(self) -> list[str]:
        now_s = asyncio.get_running_loop().time()
        due = sorted(each for each, looks in self._looks_due.items() if looks[0] <= now_s)
        for function_id in due:
            left = [look_s for look_s in self._looks_due.pop(function_id) if look_s > now_s]
            if left:
                self._looks_due[function_id] = left
        return due

    async def _look(self, client: Client, functions: list[str]) -> None:
        if len(functions) > _FUNCTIONS_SEARCHED_FOR:
            await self._wake(client, f"{SearchAttribute.WAITING} IS NOT NULL", functions)
            return
        for at in range(0, len(functions), _FUNCTIONS_PER_QUERY):
            some = functions[at : at + _FUNCTIONS_PER_QUERY]
            texts = ", ".join(quoted(search_text(each)) for each in some)
            await self._wake(client, f"{SearchAttribute.WAITING} IN ({texts})", some)

    async def _wake(self, client: Client, condition: str, functions: list[str]) -> None:
        """Signal whatever meets the condition and waits for one of the functions."""
        query = (
            f"{condition} AND ExecutionStatus = 'Running' "
            f"AND WorkflowId STARTS_WITH '{self._tenancy().prefix}.'"
        )
        named: dict[str, list[str]] = {}
        for each in functions:
            named.setdefault(search_text(each), []).append(each)
        try:
            async for execution in client.list_workflows(query):
                for text in execution.search_attributes.get(SearchAttribute.WAITING, ()):
                    for function_id in named.get(str(text), ()):
                        await _signal(client, execution.id, function_id)
        except RPCError as exc:
            log.warning("waiting messages not woken yet; their own timers will", reason=str(exc))


async def _signal(client: Client, workflow_id: str, function_id: str) -> None:
    try:
        await client.get_workflow_handle(workflow_id).signal(Signal.PROVIDER_OFFERED, function_id)
    except RPCError as exc:
        if exc.status is not RPCStatusCode.NOT_FOUND:  # it has ended since the search
            raise
