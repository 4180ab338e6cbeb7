"""Messages that wait for somebody to offer their function: find them and tell them when somebody does."""

import asyncio
from collections.abc import Callable

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from bridge.temporal.connection import TemporalConnection
from workflows.contract import SearchAttribute, Signal, Tenancy

__all__ = ["WaitingMessages"]

log = structlog.get_logger("bridge.queue")

_LOOKS = (0.0, 0.5, 2.0)
"""Seconds after an offer at which to look: the search attribute of a message that began to wait just before
shows up a little later. What these looks miss, the message's own timer catches."""


class WaitingMessages:
    """Wakes what waits for a function.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
    """

    def __init__(self, connection: TemporalConnection, tenancy: Callable[[], Tenancy]) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._offered: set[str] = set()
        self._changed = asyncio.Event()

    def function_offered(self, function_id: str) -> None:
        """Note that somebody has begun to offer a function."""
        self._offered.add(function_id)
        self._changed.set()

    async def run(self) -> None:
        """Wake what waits for the functions offered since, again and again.

        Cancellation: safe.
        """
        client = await self._connection.wait()
        while True:
            await self._changed.wait()
            self._changed.clear()
            offered, self._offered = self._offered, set()
            if self._tenancy().has_search_attributes:
                await self._look_repeatedly(client, offered)

    async def _look_repeatedly(self, client: Client, offered: set[str]) -> None:
        elapsed = 0.0
        for at in _LOOKS:
            await asyncio.sleep(at - elapsed)
            elapsed = at
            try:
                await self._wake(client, offered)
            except RPCError as exc:
                log.warning("waiting messages not woken yet; their own timers will", reason=str(exc))
                return

    async def _wake(self, client: Client, offered: set[str]) -> None:
        prefix = self._tenancy().prefix
        query = (
            f"{SearchAttribute.WAITING} IS NOT NULL AND ExecutionStatus = 'Running' "
            f"AND WorkflowId STARTS_WITH '{prefix}.'"
        )
        async for execution in client.list_workflows(query):
            waiting = set(execution.search_attributes.get(SearchAttribute.WAITING, ()))
            handle = client.get_workflow_handle(execution.id)
            for function_id in sorted(waiting & offered, key=str):
                await handle.signal(Signal.PROVIDER_OFFERED, function_id)
