"""Chains of every namespace: found by a receipt wherever they are, listed one namespace after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from bridge.engine.calls import Call, Job
from bridge.engine.chains import UNKNOWN, ChainFilter, ChainPage, ChainView, Ending, Target
from bridge.errors import FunctionFailedError
from bridge.temporal.chain_commands import TemporalChainCommands
from bridge.temporal.chain_reader import ChainReader
from bridge.temporal.spread.looking import find_first

__all__ = ["SpreadChainCommands", "SpreadChains"]

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class SpreadChains:
    """Finds and reads chains.

    Every method raises `EngineError` when Temporal does not answer.

    Args:
        readers: One for each namespace.
    """

    def __init__(self, readers: Sequence[ChainReader]) -> None:
        self._readers = readers

    async def chain_of(self, receipt: str, home: str | None = None) -> str | None:
        """Find the workflow id of the chain that keeps a message.

        Args:
            receipt: The message's.
            home: The receipt of a chain that probably has it.
        """
        return await find_first(partial(each.chain_of, receipt, home) for each in self._readers)

    async def get(
        self, receipt: str, home: str | None = None, *, with_results: bool = True
    ) -> ChainView | None:
        """Read the chain of a message.

        Args:
            receipt: The message's, or that of the first message of the chain.
            home: The receipt of a chain that probably has it.
            with_results: Whether to read the results, too, which takes reading the history.
        """
        return await find_first(
            partial(each.get, receipt, home, with_results=with_results) for each in self._readers
        )

    async def ending(self, receipt: str, home: str | None = None) -> Ending:
        """Tell what has become of a message by now."""

        async def look(reader: ChainReader) -> Ending | None:
            ending = await reader.ending(receipt, home)
            return None if ending.status == UNKNOWN else ending

        found = await find_first(partial(look, each) for each in self._readers)
        return found or Ending(receipt, UNKNOWN)

    async def await_ending(self, receipt: str, timeout_s: float, home: str | None = None) -> Ending:
        """Wait for a message to end; when the time is over, tell how far it has come.

        Cancellation: safe.
        """
        loop = asyncio.get_running_loop()
        deadline_s, pause_s = loop.time() + timeout_s, _FIRST_PAUSE_S
        while True:
            ending = await self.ending(receipt, home)
            left_s = deadline_s - loop.time()
            if not (ending.is_open or ending.status == UNKNOWN) or left_s <= 0:
                return ending
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def page(self, wanted: ChainFilter, limit: int, cursor: str | None) -> ChainPage:
        """List chains, one namespace after the other, newest first in each.

        Raises:
            FunctionFailedError: The filter or the cursor cannot be used.
        """
        at, inner = self._place(cursor)
        page = await self._readers[at].page(wanted, limit, inner)
        if page.next is not None:
            return ChainPage(page.chains, f"{at}.{page.next}")
        return ChainPage(page.chains, f"{at + 1}." if at + 1 < len(self._readers) else None)

    async def cancel(self, workflow_id: str) -> bool:
        """Ask a chain to end and to compensate; answers whether it ran."""

        async def cancel(reader: ChainReader) -> bool | None:
            return await reader.cancel(workflow_id) or None

        return await find_first(partial(cancel, each) for each in self._readers) or False

    def _place(self, cursor: str | None) -> tuple[int, str | None]:
        """Read which namespace a page begins in, and where there."""
        number, _, inner = (cursor or "0.").partition(".")
        if not number.isdecimal() or int(number) >= len(self._readers):
            raise FunctionFailedError(
                "invalid_cursor", "The cursor is not one that chain::list has given; leave it out to begin"
            )
        return int(number), inner or None


class SpreadChainCommands:
    """Asks things of chains, each where it is kept; every method raises `EnqueueError` when Temporal refuses.

    Args:
        by_keeper: The commands for the chains of each namespace, by its keeper.
        of: Those for a namespace of iii, in which what belongs to no chain begins one.
    """

    def __init__(
        self,
        by_keeper: Mapping[str, TemporalChainCommands],
        of: Callable[[str], TemporalChainCommands],
    ) -> None:
        self._by_keeper = by_keeper
        self._of = of

    async def compensate(self, call: Call, target: Target, payload: msgspec.Raw) -> str:
        """Have the chain of the calling handler undo something if it is lost or cancelled."""
        return await self._for(call.job, target).compensate(call, target, payload)

    async def wait_for_event(
        self,
        call: Call,
        event: str,
        payload: msgspec.Raw,
        *,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
    ) -> str:
        """Have a chain go on with one function when an event comes, or with another when it does not come."""
        return await self._for(call.job, then).wait_for_event(
            call, event, payload, then=then, otherwise=otherwise, timeout_ms=timeout_ms
        )

    async def join(
        self,
        call: Call,
        receipts: tuple[str, ...],
        payload: msgspec.Raw,
        *,
        then: Target,
        otherwise: Target | None,
        timeout_ms: int | None,
    ) -> str:
        """Have a chain go on with a function when messages have ended; it is given their results."""
        return await self._for(call.job, then).join(
            call, receipts, payload, then=then, otherwise=otherwise, timeout_ms=timeout_ms
        )

    async def send_event(self, chain_workflow_id: str, event: str, payload: msgspec.Raw) -> bool:
        """Tell a chain of an event; answers whether the chain ran."""

        async def send(commands: TemporalChainCommands) -> bool | None:
            return await commands.send_event(chain_workflow_id, event, payload) or None

        sending: list[Callable[[], Awaitable[bool | None]]] = [
            partial(send, each) for each in self._by_keeper.values()
        ]
        return await find_first(sending) or False

    def _for(self, job: Job | None, target: Target) -> TemporalChainCommands:
        return self._of(target.namespace) if job is None else self._by_keeper[job.keeper]
