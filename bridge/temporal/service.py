"""Everything durable in one place: connects, keeps the workers polling, and stops in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog
from temporalio.converter import DataConverter

from activities.alerts import AlertActivities, Alerter
from activities.annexes import Annexes
from activities.bulk import BulkActivities
from activities.functions import FunctionActivities
from activities.operations import CronFirer, Operations, PublishEvents
from bridge.engine.chains import Ending
from bridge.engine.engine import Engine
from bridge.temporal.bulk import BulkOperations
from bridge.temporal.chain_commands import TemporalChainCommands
from bridge.temporal.chain_reader import ChainReader
from bridge.temporal.compensations import Compensation, Compensations
from bridge.temporal.connection import TemporalAddress, TemporalConnection
from bridge.temporal.dead_letters import DeadLetters
from bridge.temporal.dedupe_markers import DedupeMarkers
from bridge.temporal.delivered_payloads import DeliveredPayloads
from bridge.temporal.delivery import EngineDeliverer
from bridge.temporal.end_watch import EndWatch
from bridge.temporal.enqueuer import EnqueueSettings, TemporalEnqueuer
from bridge.temporal.function_caller import EngineFunctionCaller, FunctionActivitySettings
from bridge.temporal.lanes import Lanes
from bridge.temporal.late_calls import AskStanding, LateCalls, Standings
from bridge.temporal.messages import NamedQueue
from bridge.temporal.queue_workers import QueueWorker, QueueWorkers
from bridge.temporal.seal_keys import SealKeys
from bridge.temporal.search_attributes import ensure_search_attributes
from bridge.temporal.sender import TemporalSender
from bridge.temporal.settler import BulkSettler
from bridge.temporal.topics import TemporalTopics
from bridge.temporal.waiting import WaitingMessages
from bridge.temporal.workers import run_workers
from workflows.contract import Pace, Tenancy

__all__ = ["QueueSettings", "TemporalService", "TemporalSettings"]

log = structlog.get_logger("bridge.temporal")

_RESTART_PAUSE_S = 1.0
_SUBSCRIBER_POLLS = 2
"""Subscribers may be many, and Temporal takes 1,200 polls of a namespace at once unless told otherwise."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """One named queue: what its messages take along, and how much of it this bridge takes at once."""

    messages: NamedQueue
    worker: QueueWorker


@dataclass(frozen=True, slots=True)
class TemporalSettings:
    """Where Temporal is and how we use it.

    Attributes:
        prefix: Begins every name in Temporal.
        drain_timeout_ms: How long a stopping bridge lets running deliveries finish.
        heartbeat_timeout_ms: After how long a silent bridge counts as lost.
        pace: How patient our workflows are.
        compensations: What undoes the functions' effects, by function id.
        function_activities: Which functions other people's workflows may call.
        stored_bytes: The largest payload where large ones are stored beside Temporal.
    """

    address: TemporalAddress
    enqueue: EnqueueSettings
    prefix: str = "iii"
    drain_timeout_ms: int = 10_000
    heartbeat_timeout_ms: int = 10_000
    pace: Pace = field(default_factory=Pace)
    compensations: Mapping[str, Compensation] = field(default_factory=dict)
    function_activities: FunctionActivitySettings = field(default_factory=FunctionActivitySettings)
    stored_bytes: int | None = None


class TemporalService:
    """The durable side of a bridge in one namespace of Temporal.

    Args:
        engine: Runs the functions of deliveries.
        settings: Where Temporal is.
        queues: The named queues to begin with.
        ending_anywhere: Tells what has become of a message, in whichever namespace it is.
        standing_anywhere: Tells how the step of a job stands, in whichever namespace its chain is.
        converter: How payloads are written and read.

    Attributes:
        connection: The way to Temporal.
        queue_workers: Which queues this bridge takes deliveries from.
        enqueuer: Where messages go.
        chains: Where chains are looked at.
        chain_commands: Where more is asked of chains.
        standings: Where chains are asked about late calls.
        dead_letters: Where lost messages are.
        bulk: Where operations on many of them are.
        topics: Who is subscribed to durable topics.
        watches_chains: Tells whether somebody wants to be told of the events of chains.
        ready: Set once this bridge polls for work.
    """

    def __init__(
        self,
        engine: Engine,
        settings: TemporalSettings,
        queues: Mapping[str, QueueSettings],
        ending_anywhere: Callable[[str], Awaitable[Ending]],
        standing_anywhere: AskStanding,
        converter: DataConverter,
    ) -> None:
        self._settings = settings
        self._messages: dict[str, NamedQueue] = {}
        self._tenancy = Tenancy(
            settings.prefix,
            has_search_attributes=False,
            pace=settings.pace,
            stored_bytes=settings.stored_bytes,
        )
        self._deliverer = EngineDeliverer(
            engine,
            engine.new_id,
            Compensations(engine.functions, settings.compensations, self._messages, _unix_ms).of,
            keeper=settings.address.keeper,
            namespace=settings.address.namespace,
        )
        self._function_caller = EngineFunctionCaller(engine, settings.function_activities, engine.new_id)
        self._stopping = asyncio.Event()
        self.watches_chains: Callable[[], bool] = lambda: False
        self.ready = asyncio.Event()
        self.connection = TemporalConnection(settings.address, converter)
        rpc_timeout = timedelta(milliseconds=settings.enqueue.timeout_ms)
        self._lanes = Lanes(self.connection, self.tenancy, rpc_timeout)
        self._sender = TemporalSender(
            self.connection, self._lanes, self.tenancy, rpc_timeout, self._is_any_chain_watched
        )
        payloads = DeliveredPayloads(self.connection, converter, settings.enqueue.payload_limit_bytes)
        self.queue_workers = QueueWorkers(self._deliverer, payloads, self._sender.attempt_failed)
        self._handed_jobs = engine.handed_jobs
        self.standings = Standings(self.connection, self.tenancy, rpc_timeout)
        late_calls = LateCalls(standing_anywhere, self.connection, self.tenancy, rpc_timeout, engine.new_id)
        self.enqueuer = TemporalEnqueuer(
            self._sender,
            late_calls,
            DedupeMarkers(self.connection, self.tenancy, rpc_timeout),
            settings.address,
            self._messages,
            settings=settings.enqueue,
            new_id=engine.new_id,
            now_ms=_unix_ms,
        )
        self.chains = ChainReader(self.connection, self._lanes, self.tenancy)
        self.chain_commands = TemporalChainCommands(
            self.enqueuer, self._sender, late_calls, engine.new_id, _unix_ms
        )
        self._end_watch = EndWatch(self.chains, self._sender, ending_anywhere, self.tenancy)
        self.dead_letters = DeadLetters(self.connection, self.tenancy)
        self.bulk = BulkOperations(
            self.connection, self.tenancy, heartbeat_timeout_ms=settings.heartbeat_timeout_ms
        )
        self.topics = TemporalTopics(self.connection, self.tenancy)
        self._waiting = WaitingMessages(self.connection, self.tenancy)
        engine.on_function_offered.append(self._waiting.function_offered)
        for name, queue in queues.items():
            self.put_queue(name, queue)

    def _is_any_chain_watched(self) -> bool:
        return self.watches_chains()

    def tenancy(self) -> Tenancy:
        """Return the names to use now."""
        return self._tenancy

    def put_queue(self, name: str, queue: QueueSettings) -> None:
        """Serve a named queue from now on, or serve it differently.

        Messages enqueued before keep the rules that they took along; what runs finishes as it began.
        """
        self._messages[name] = queue.messages
        self.queue_workers.put(name, queue.worker)

    def remove_queue(self, name: str) -> None:
        """Accept no more messages for a named queue; what is queued waits until the queue returns."""
        self._messages.pop(name, None)
        self.queue_workers.remove(name)

    def serve(self, queue: str, concurrency: int) -> None:
        """Take deliveries from the internal queue of a topic's subscriber, so many at once."""
        if queue not in self._messages:  # a named queue of that name takes them already
            self.queue_workers.put(queue, QueueWorker(concurrency, polls=_SUBSCRIBER_POLLS))

    def leave(self, queue: str) -> None:
        """Take no more deliveries from the internal queue of a topic's subscriber; what is queued stays."""
        if queue not in self._messages:
            self.queue_workers.remove(queue)

    def stop(self) -> None:
        """Begin no more deliveries; `run` ends when those that run have finished or the deadline is over."""
        self._deliverer.stop()
        self._stopping.set()

    async def run(self, fire_cron: CronFirer, alert: Alerter, publish_events: PublishEvents) -> None:
        """Connect, however long it takes, and poll until stopped.

        Args:
            fire_cron: Fires cron triggers.
            alert: Calls alert functions.
            publish_events: Tells those who watch chains of their events.

        Cancellation: running deliveries are cut off and tried again later.
        """
        async with asyncio.TaskGroup() as tasks:
            waking = tasks.create_task(self._waiting.run(), name="wake waiting messages")
            watching = tasks.create_task(self.connection.watch(), name="watch temporal credentials")
            await self._poll(fire_cron, alert, publish_events)
            watching.cancel()
            waking.cancel()

    async def _is_connected(self) -> bool:
        """Connect, however long it takes, unless the bridge is told to stop before."""
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(self._connect(), name="connect to temporal")
            stopping = tasks.create_task(self._stopping.wait(), name="temporal stop")
            await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
            is_connected = connecting.done()
            connecting.cancel()
            stopping.cancel()
        return is_connected

    async def _connect(self) -> None:
        client = await self.connection.connect()
        self._tenancy = replace(self._tenancy, has_search_attributes=await ensure_search_attributes(client))
        key = await SealKeys(self.connection, self.tenancy).key()
        self._handed_jobs.use_key(self.connection.address.keeper, key)

    async def _poll(self, fire_cron: CronFirer, alert: Alerter, publish_events: PublishEvents) -> None:
        # Workers that could not begin keep their task queues on their connection: the next ones need another.
        while not self._stopping.is_set() and await self._is_connected():
            try:
                self.ready.set()
                await run_workers(
                    self.connection,
                    self._tenancy,
                    self.queue_workers,
                    operations=Operations(self._sender, fire_cron, self._end_watch.watch, publish_events),
                    annexes=Annexes(self._lanes),
                    bulk=BulkActivities(BulkSettler(self.connection)),
                    alerts=AlertActivities(alert),
                    functions=FunctionActivities(
                        self._function_caller, self._settings.enqueue.payload_limit_bytes
                    ),
                    function_concurrency=self._settings.function_activities.concurrency,
                    stop=self._stopping,
                    drain_timeout=timedelta(milliseconds=self._settings.drain_timeout_ms),
                )
            except* RuntimeError:
                log.exception("temporal workers ended; starting them again")
                await asyncio.sleep(_RESTART_PAUSE_S)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
