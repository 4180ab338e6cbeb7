"""Which queues this bridge takes deliveries from: they come, change and go while it runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

import structlog
from temporalio.worker import Worker

from activities.deliveries import Deliverer, Deliveries, Payloads, TellChain
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.delivered_payloads import leaving_large_ones
from workflows.contract import Tenancy
from workflows.names import queue_task_queue

__all__ = ["HEARTBEAT_THROTTLE", "QueueWorker", "QueueWorkers"]

log = structlog.get_logger("bridge.temporal")

HEARTBEAT_THROTTLE = timedelta(seconds=2)
_UNTIL_TOLD = timedelta(days=365)
"""How long the SDK lets running deliveries finish: a bridge that only changes a queue has time, and one that
stops cuts them off itself."""
_HANDOVER_PAUSE_S = 0.02
_HANDOVER_TRIES = 250
"""The SDK refuses a second worker of a task queue until the first has stopped polling, after a moment."""


@dataclass(frozen=True, slots=True)
class QueueWorker:
    """How much of a queue this bridge takes at once.

    Attributes:
        concurrency: Deliveries that run at the same time; 0 takes none.
        rate_per_s: Deliveries started per second over all bridges; `None` is unlimited.
        polls: The most requests for work that are open at Temporal at once.
    """

    concurrency: int
    rate_per_s: float | None = None
    polls: int = 5


@dataclass(slots=True)
class _Polling:
    """One Temporal worker, from the decision to have it until its last delivery has ended."""

    settings: QueueWorker
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class QueueWorkers:
    """Keeps one Temporal worker per queue.

    A queue that changes gets a new worker at once; what runs in the old one finishes beside it.

    Args:
        deliverer: Runs the functions.
        payloads: Where payloads are that Temporal does not keep.
        attempt_failed: Tells a chain that is watched of a failed attempt.
    """

    def __init__(self, deliverer: Deliverer, payloads: Payloads, attempt_failed: TellChain) -> None:
        self._deliverer = deliverer
        self._payloads = payloads
        self._attempt_failed = attempt_failed
        self._wanted: dict[str, QueueWorker] = {}
        self._has_changed = asyncio.Event()

    @property
    def wanted(self) -> Mapping[str, QueueWorker]:
        """The queues from which deliveries are taken, as they are now."""
        return MappingProxyType(self._wanted)

    def put(self, queue: str, settings: QueueWorker) -> None:
        """Take deliveries from a queue from now on, or take them differently."""
        self._wanted[queue] = settings
        self._has_changed.set()

    def remove(self, queue: str) -> None:
        """Take no more deliveries from a queue; those that run finish, and what is queued stays."""
        self._wanted.pop(queue, None)
        self._has_changed.set()

    async def run(
        self,
        connection: TemporalConnection,
        tenancy: Tenancy,
        *,
        stop: asyncio.Event,
        drain_timeout: timedelta,
    ) -> None:
        """Poll for work until told to stop, then let what runs finish.

        Args:
            connection: The way to Temporal, once it has been reached.
            tenancy: The names to poll under.
            stop: Set to stop.
            drain_timeout: How long running deliveries may take to finish; then they are cut off.

        Cancellation: running deliveries are cut off and tried again later.
        """
        deliveries = Deliveries(self._deliverer, self._payloads, self._attempt_failed)
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(stop.wait(), name="stop temporal workers")
            running = _Running(connection, tenancy, deliveries, tasks)
            try:
                while not stopping.done():
                    self._has_changed.clear()
                    running.become(self._wanted)
                    changing = tasks.create_task(self._has_changed.wait(), name="queues change")
                    await asyncio.wait((changing, stopping), return_when=asyncio.FIRST_COMPLETED)
                    changing.cancel()
                running.become({})
                await running.finish(drain_timeout)
            finally:
                deliveries.cut_off()


class _Running:
    """The workers of one connection."""

    def __init__(
        self,
        connection: TemporalConnection,
        tenancy: Tenancy,
        deliveries: Deliveries,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._deliveries = deliveries
        self._tasks = tasks
        self._polling: dict[str, _Polling] = {}
        self._unfinished: set[asyncio.Task[None]] = set()

    def become(self, wanted: Mapping[str, QueueWorker]) -> None:
        """Start, replace and stop workers until they are what is wanted."""
        for queue, polling in list(self._polling.items()):
            if wanted.get(queue) != polling.settings:
                polling.stop.set()
                del self._polling[queue]
        added = [queue for queue, settings in wanted.items() if settings.concurrency > 0]
        added = [queue for queue in added if queue not in self._polling]
        for queue in added:
            polling = self._polling[queue] = _Polling(wanted[queue])
            task = self._tasks.create_task(self._poll(queue, polling), name=f"temporal worker {queue}")
            self._unfinished.add(task)
            task.add_done_callback(self._unfinished.discard)
        if added:
            log.info("polling temporal", namespace=self._connection.address.namespace, queues=sorted(added))

    async def finish(self, at_most: timedelta) -> None:
        """Wait until the last delivery has ended, or the time is over.

        Cancellation: safe.
        """
        if self._unfinished:
            await asyncio.wait(self._unfinished, timeout=at_most.total_seconds())

    async def _poll(self, queue: str, polling: _Polling) -> None:
        worker = await self._worker(queue_task_queue(self._tenancy, queue), polling.settings)
        self._connection.workers.add(worker)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(), name=f"deliveries of {queue}")
            await polling.stop.wait()
            self._connection.workers.finish(worker)
            await worker.shutdown()

    async def _worker(self, task_queue: str, settings: QueueWorker) -> Worker:
        tries_left = _HANDOVER_TRIES
        while True:
            try:
                return Worker(
                    leaving_large_ones(self._connection.client),
                    task_queue=task_queue,
                    activities=[self._deliveries.deliver],
                    max_concurrent_activities=settings.concurrency,
                    max_concurrent_activity_task_polls=min(settings.concurrency, settings.polls),
                    max_task_queue_activities_per_second=settings.rate_per_s,
                    graceful_shutdown_timeout=_UNTIL_TOLD,
                    max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
                    on_fatal_error=self._give_up,
                )
            except RuntimeError:
                tries_left -= 1
                if not tries_left:
                    raise
            await asyncio.sleep(_HANDOVER_PAUSE_S)

    async def _give_up(self, _: BaseException) -> None:
        """End what runs, so that all workers can be started again."""
        self._deliveries.cut_off()
