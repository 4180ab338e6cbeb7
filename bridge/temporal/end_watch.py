"""For chains that wait for messages of other workflows: how each ended, or a word when it does."""

from collections.abc import Awaitable, Callable

from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.chains import UNKNOWN, Ending
from bridge.temporal.chain_reader import ChainReader
from bridge.temporal.sender import TemporalSender
from workflows.contract import Tenancy, WatchedEnd
from workflows.watching import largest_result_told

__all__ = ["EndWatch"]


class EndWatch:
    """Asks whoever has a message.

    Args:
        reader: Finds it in the namespace of the chain that waits.
        sender: Brings the wish to be told.
        ending_anywhere: Looks in every namespace of Temporal.
        tenancy: How large a result may be that is told.
    """

    def __init__(
        self,
        reader: ChainReader,
        sender: TemporalSender,
        ending_anywhere: Callable[[str], Awaitable[Ending]],
        tenancy: Callable[[], Tenancy],
    ) -> None:
        self._reader = reader
        self._sender = sender
        self._ending_anywhere = ending_anywhere
        self._tenancy = tenancy

    async def watch(self, receipt: str, watcher_id: str) -> WatchedEnd | None:
        """Tell how a message ended; `None` if it has not, then its workflow will tell the watcher.

        A workflow of another namespace cannot: then the watcher has to ask again.
        """
        ending = await self._reader.ending(receipt)
        if ending.status == UNKNOWN:
            ending = await self._ending_anywhere(receipt)
        elif ending.is_open and ending.workflow_id is not None:
            try:
                await self._sender.watch(ending.workflow_id, receipt, watcher_id)
            except RPCError as exc:
                if exc.status is not RPCStatusCode.NOT_FOUND:
                    raise
            # It may have ended before its workflow heard of the wish.
            ending = await self._reader.ending(receipt)
        return None if ending.is_open else self._told(ending)

    def _told(self, ending: Ending) -> WatchedEnd:
        result = bytes(ending.result) if ending.result is not None else None
        if result is not None and len(result) > largest_result_told(self._tenancy()):
            result = None
        return WatchedEnd(ending.receipt, ending.status, result.decode() if result else None, ending.error)
