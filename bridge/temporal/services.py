"""Every namespace of Temporal that a bridge uses: which one keeps what, and all of them run together.

Without a mapping there is one. With one, what is enqueued for a function is kept in the namespace of Temporal
that the function's namespace of iii is mapped to; durable topics and alarms are kept in the bridge's own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from temporalio.converter import DataConverter

from activities.alerts import Alerter
from activities.operations import CronFirer, PublishEvents
from bridge.engine.calls import Call, Job
from bridge.engine.chains import Ending
from bridge.engine.engine import Engine
from bridge.engine.observation import ObservedEnqueuer
from bridge.temporal.schedules import TemporalSchedules
from bridge.temporal.service import QueueSettings, TemporalService, TemporalSettings
from bridge.temporal.spread.bulk import BulkPart, SpreadBulkOperations
from bridge.temporal.spread.chains import SpreadChainCommands, SpreadChains
from bridge.temporal.spread.dead_letters import SpreadDeadLetters
from bridge.temporal.spread.looking import ask_all
from bridge.temporal.statistics import QueueStatistics
from workflows.contract import Standing, Subscription

__all__ = ["MappedNamespace", "TemporalServices"]


@dataclass(frozen=True, slots=True)
class MappedNamespace:
    """A namespace of Temporal that keeps what is enqueued for the functions of certain namespaces of iii.

    Attributes:
        iii: Those.
        settings: Where it is.
    """

    iii: tuple[str, ...]
    settings: TemporalSettings


class TemporalServices:
    """The durable side of a bridge.

    Args:
        engine: Runs the functions of deliveries.
        home: The bridge's own namespace, for everything that is not mapped.
        mapped: The others.
        queues: The named queues to begin with; every namespace has all of them.
        converter: How payloads are written and read, in every namespace.

    Attributes:
        home: The bridge's own namespace.
        all: Every namespace, the bridge's own first.
        chains: Where chains are looked at.
        chain_commands: Where more is asked of chains.
        dead_letters: Where lost messages are.
        bulk: Where operations on many of them are.
    """

    def __init__(
        self,
        engine: Engine,
        home: TemporalSettings,
        mapped: Sequence[MappedNamespace],
        queues: Mapping[str, QueueSettings],
        converter: DataConverter = DataConverter.default,
    ) -> None:
        self.home, *others = (
            TemporalService(engine, settings, queues, self._ending, self._standing, converter)
            for settings in (home, *(each.settings for each in mapped))
        )
        self.all = (self.home, *others)
        self._by_iii = {
            name: service for each, service in zip(mapped, others, strict=True) for name in each.iii
        }
        self.chains = SpreadChains([each.chains for each in self.all])
        self._by_keeper = {each.connection.address.keeper: each for each in self.all}
        self.chain_commands = SpreadChainCommands(
            {keeper: each.chain_commands for keeper, each in self._by_keeper.items()},
            lambda namespace: self.of(namespace).chain_commands,
        )
        self.dead_letters = SpreadDeadLetters([each.dead_letters for each in self.all])
        self.bulk = SpreadBulkOperations(
            [BulkPart(each.bulk, each.dead_letters) for each in self.all], engine.new_id
        )
        self._observed = ObservedEnqueuer(_Routing(self), engine.observers, engine.new_id)
        engine.enqueuer = self._observed

    def of(self, namespace: str) -> TemporalService:
        """Return what keeps the messages for the functions of a namespace of iii."""
        return self._by_iii.get(namespace, self.home)

    def schedules(self) -> tuple[TemporalSchedules, Mapping[str, TemporalSchedules]]:
        """Return where cron schedules are: the bridge's own, and those of mapped namespaces of iii."""
        made = {each: TemporalSchedules(each.connection, each.tenancy) for each in self.all}
        return made[self.home], {name: made[service] for name, service in self._by_iii.items()}

    def statistics(self) -> list[QueueStatistics]:
        """Return what knows how the queues are, for each namespace."""
        return [QueueStatistics(each.connection, each.tenancy, each.dead_letters) for each in self.all]

    def watch_chains(self, is_any_watched: Callable[[], bool]) -> None:
        """Ask this from now on whether somebody wants to be told of the events of chains."""
        for each in self.all:
            each.watches_chains = is_any_watched

    def put_queue(self, name: str, queue: QueueSettings) -> None:
        """Serve a named queue from now on, or serve it differently."""
        for each in self.all:
            each.put_queue(name, queue)

    def remove_queue(self, name: str) -> None:
        """Accept no more messages for a named queue; what is queued waits until the queue returns."""
        for each in self.all:
            each.remove_queue(name)

    def serve(self, subscription: Subscription, concurrency: int) -> None:
        """Take deliveries from the internal queue of a topic's subscriber, so many at once."""
        self.of(subscription.namespace).serve(subscription.queue, concurrency)

    def leave(self, subscription: Subscription) -> None:
        """Take no more deliveries from the internal queue of a topic's subscriber; what is queued stays."""
        self.of(subscription.namespace).leave(subscription.queue)

    async def enqueue_copy(self, call: Call, subscription: Subscription) -> str:
        """Accept a subscriber's copy of a published message, as any message is, and return its receipt.

        Raises:
            EnqueueError: It was not accepted.

        Cancellation: the copy may or may not have been accepted.
        """
        enqueuer = self.of(subscription.namespace).enqueuer
        return await self._observed.observe(
            call, subscription.queue, lambda sent: enqueuer.enqueue_copy(sent, subscription)
        )

    async def enqueue_event(self, subscription: Subscription, receipt: str, group: str, data: bytes) -> None:
        """Accept what a subscriber is told of a chain, in the order of the chain's events.

        Raises:
            EnqueueError: Temporal did not answer in time.
        """
        await self.of(subscription.namespace).enqueuer.enqueue_event(subscription, receipt, group, data)

    async def enqueue_once(self, call: Call, queue: str, receipt: str) -> None:
        """Accept a message under a receipt of the caller's, unless one was accepted under it before.

        Raises:
            EnqueueError: It was not accepted.

        Cancellation: the message may or may not have been accepted.
        """
        await self.of(call.namespace).enqueuer.enqueue_once(call, queue, receipt)

    def stop(self) -> None:
        """Begin no more deliveries; `run` ends when those that run have finished or the deadline is over."""
        for each in self.all:
            each.stop()

    async def run(self, fire_cron: CronFirer, alert: Alerter, publish_events: PublishEvents) -> None:
        """Connect, however long it takes, and poll until stopped.

        Args:
            fire_cron: Fires cron triggers.
            alert: Calls alert functions.
            publish_events: Tells those who watch chains of their events.

        Cancellation: running deliveries are cut off and tried again later.
        """
        async with asyncio.TaskGroup() as tasks:
            for each in self.all:
                name = f"temporal namespace {each.connection.address.namespace}"
                tasks.create_task(each.run(fire_cron, alert, publish_events), name=name)

    async def wait_until_ready(self) -> None:
        """Return once every namespace is polled for work.

        Cancellation: safe.
        """
        for each in self.all:
            await each.ready.wait()

    async def unreachable(self) -> list[str]:
        """Name the namespaces that are not polled yet or do not answer now."""
        answers = await ask_all(map(_is_reached, self.all))
        return [
            each.connection.address.keeper
            for each, is_reached in zip(self.all, answers, strict=True)
            if not is_reached
        ]

    async def _ending(self, receipt: str) -> Ending:
        return await self.chains.ending(receipt)

    async def _standing(self, job: Job, receipt: str) -> Standing | None:
        return await self._by_keeper[job.keeper].standings.of(job, receipt)


class _Routing:
    """Accepts every message where the messages for its function are kept.

    Args:
        services: Knows where that is.
    """

    def __init__(self, services: TemporalServices) -> None:
        self._services = services

    async def enqueue(self, call: Call, queue: str, *, delay_ms: int = 0) -> str:
        """Accept a message for durable execution and return its receipt.

        Raises:
            EnqueueError: It was not accepted.

        Cancellation: the message may or may not have been accepted.
        """
        return await self._services.of(call.namespace).enqueuer.enqueue(call, queue, delay_ms=delay_ms)


async def _is_reached(service: TemporalService) -> bool:
    return service.ready.is_set() and await service.connection.is_healthy()
