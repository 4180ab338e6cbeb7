"""The Temporal workers of a connection: they hold its client, and get the next one in its place."""

from collections.abc import Awaitable, Callable
from weakref import WeakSet

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from bridge.errors import EngineError

__all__ = ["ClientHolders"]

log = structlog.get_logger("bridge.temporal")


class ClientHolders:
    """The workers that were made with the client of one connection, for as long as they run."""

    def __init__(self) -> None:
        self._polling: WeakSet[Worker] = WeakSet()
        self._finishing: WeakSet[Worker] = WeakSet()

    def add(self, worker: Worker) -> None:
        """Note a worker that was made with the client of now."""
        self._polling.add(worker)

    def finish(self, worker: Worker) -> None:
        """Note that a worker takes nothing more, and only brings to an end what it runs."""
        self._polling.discard(worker)
        self._finishing.add(worker)

    async def take(self, client: Client, another: Callable[[], Awaitable[Client]]) -> None:
        """Have every worker go on with a new client: what it runs, what it reports and what it asks for.

        Args:
            client: For those that poll.
            another: Makes clients with connections of their own. The SDK counts a worker that only finishes
                among those that poll, and would refuse its queue's next one on the same connection.

        Cancellation: some workers may have the new client and others not.
        """
        for worker in self._polling:
            _hand(worker, client)
        for worker in list(self._finishing):
            try:
                _hand(worker, await another())
            except EngineError as exc:
                log.warning("a temporal worker finishes with the old credentials", reason=str(exc))


def _hand(worker: Worker, client: Client) -> None:
    if worker.is_shutdown:
        return  # which one that Temporal did not let begin is too
    try:
        worker.client = client
    except AttributeError:
        pass  # the SDK is taking the worker apart: it has come to its end
    except ValueError as exc:
        log.warning(
            "a temporal worker keeps the old credentials", task_queue=worker.task_queue, reason=str(exc)
        )
