"""Keeps the subscriptions in Temporal in line with the triggers that are bound here.

Every change is noted and carried out as soon as Temporal can be reached, so that registering a trigger
depends on nothing. What a bridge says of its triggers holds for a lease, which it renews now and then.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from bridge.builtins.queue.ports import TopicStore
from bridge.errors import BridgeError, TriggerRejectedError
from workflows.contract import Departure, SubscribeRequest, Subscription

__all__ = ["KeeperSettings", "SubscriptionKeeper"]

log = structlog.get_logger("bridge.queue")

_CONCURRENT_CHANGES = 8
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """How subscriptions are kept.

    Attributes:
        keep_ms: How long a subscription whose worker does not return is kept.
        lease_ms: For how long the word of a bridge holds that was lost.
        renewal_ms: How often a bridge renews its word.
        sweep_interval_ms: How often it looks whether Temporal still knows what it holds.
        retry_pause_ms: The first pause when Temporal cannot be reached; every further one is twice as long.
    """

    keep_ms: int = 7 * 24 * 3600 * 1000
    lease_ms: int = 3 * 3600 * 1000
    renewal_ms: int = 3600 * 1000
    sweep_interval_ms: int = 30_000
    retry_pause_ms: int = 250


@dataclass(frozen=True, slots=True, eq=False)
class _Hold:
    """The subscription is wanted here."""

    topic: str
    subscription: Subscription
    triggers: int
    renews: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, eq=False)
class _Release:
    """Its worker left; `unknown` is the subscription if Temporal has not heard of it yet."""

    topic: str
    unknown: _Hold | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    """Its trigger was unregistered."""

    topic: str
    done: asyncio.Event = field(default_factory=asyncio.Event)


_Change = _Hold | _Release | _End


class SubscriptionKeeper:
    """Notes what changes, and carries it out as soon as Temporal can be reached.

    What is noted is one change per subscription, the latest; so it is bounded by the number of triggers.

    Args:
        topics: Where subscriptions are.
        settings: How they are kept.
    """

    def __init__(self, topics: TopicStore, settings: KeeperSettings) -> None:
        self._topics = topics
        self._settings = settings
        self._held: dict[str, _Hold] = {}
        self._told: set[str] = set()
        self._changes: dict[str, _Change] = {}
        self._changed = asyncio.Event()
        self._is_connected = False

    def want(self, topic: str, subscription: Subscription, *, triggers: int) -> None:
        """Have a subscription in force, for so many triggers of this bridge."""
        hold = _Hold(topic, subscription, triggers)
        self._held[subscription.queue] = hold
        self._note(subscription.queue, hold)

    def let_go(self, queue: str) -> None:
        """Have a subscription kept without this bridge, because its worker left."""
        if hold := self._held.pop(queue, None):
            self._note(queue, _Release(hold.topic, unknown=None if queue in self._told else hold))

    def end(self, queue: str) -> None:
        """Have a subscription ended, unless another bridge holds it, because its trigger was unregistered."""
        if hold := self._held.pop(queue, None):
            self._note(queue, _End(hold.topic))

    async def settled(self, topic: str) -> None:
        """Return once every change of a topic that was noted here is in force.

        Cancellation: safe.
        """
        while True:
            pending = next((change for change in self._changes.values() if change.topic == topic), None)
            if pending is None:
                return
            await pending.done.wait()

    async def run(self) -> None:
        """Carry out what changes, and renew what is held now and then.

        Cancellation: safe; what has not been carried out is left to `close`.
        """
        await self._topics.wait()
        self._is_connected = True
        now_s = asyncio.get_running_loop().time
        renewal_s = now_s() + self._settings.renewal_ms / 1000
        sweep_s = now_s() + self._settings.sweep_interval_ms / 1000
        pause_s = 0.0
        while True:
            if now_s() >= sweep_s:
                await self._sweep()
                sweep_s = now_s() + self._settings.sweep_interval_ms / 1000
            if now_s() >= renewal_s:
                self._renew(self._held)
                renewal_s = now_s() + self._settings.renewal_ms / 1000
            pause_s = await self._try_to_settle(pause_s)
            if not self._changes:
                await self._has_changed_before(min(renewal_s, sweep_s))

    async def close(self) -> None:
        """Tell that this bridge leaves. Call it after `run` has ended and the workers are gone.

        What Temporal has not heard of is left to the next bridge, with which workers register again: only a
        bridge that polls can put a subscription in force.

        Cancellation: safe; what was not told is noticed when the lease ends.
        """
        if not self._is_connected:
            return
        for queue in list(self._held):
            self.let_go(queue)
        for queue, change in list(self._changes.items()):
            if not isinstance(change, _End):
                self._note(queue, _Release(change.topic))
        try:
            await self._settle()
        except BridgeError as exc:
            log.warning("subscriptions not released; their lease will end", reason=str(exc))

    def _note(self, queue: str, change: _Change) -> None:
        if replaced := self._changes.get(queue):
            replaced.done.set()
        self._changes[queue] = change
        self._changed.set()

    async def _has_changed_before(self, deadline_s: float) -> None:
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _sweep(self) -> None:
        """Look for what somebody has terminated, or a Temporal without a disk has forgotten."""
        try:
            topics = await self._topics.list()
        except BridgeError:
            return
        known = {each.subscription.queue for subscribers in topics.values() for each in subscribers}
        self._renew(self._held.keys() - known)

    def _renew(self, queues: Iterable[str]) -> None:
        for queue in queues:
            hold = self._held[queue]
            renewal = _Hold(hold.topic, hold.subscription, hold.triggers, renews=True)
            self._changes.setdefault(queue, renewal)

    async def _try_to_settle(self, last_pause_s: float) -> float:
        """Carry out what has changed, or wait a little; answers how long it waited."""
        try:
            await self._settle()
        except BridgeError as exc:
            if not last_pause_s:
                log.warning("subscriptions not in line with the triggers; trying again", reason=str(exc))
            pause_s = min(last_pause_s * 2 or self._settings.retry_pause_ms / 1000, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)
            return pause_s
        if last_pause_s:
            log.info("subscriptions in line with the triggers again")
        return 0

    async def _settle(self) -> None:
        """Carry out what has changed; what fails does not hold up the rest, and stays noted.

        Raises:
            BridgeError: The first failure.
        """
        self._changed.clear()
        slots = asyncio.Semaphore(_CONCURRENT_CHANGES)
        failures: list[BridgeError] = []

        async def carry_out(queue: str, change: _Change) -> None:
            async with slots:
                try:
                    await self._apply(queue, change)
                except BridgeError as exc:
                    failures.append(exc)
                    return
            change.done.set()
            if self._changes.get(queue) is change:
                del self._changes[queue]

        async with asyncio.TaskGroup() as tasks:
            for queue, change in list(self._changes.items()):
                tasks.create_task(carry_out(queue, change), name=f"subscription {queue}")
        if failures:
            raise failures[0]

    async def _apply(self, queue: str, change: _Change) -> None:
        departure = Departure(queue, self._topics.identity)
        match change:
            case _Hold():
                await self._subscribe(change)
            case _Release(topic, unknown):
                if unknown is not None:
                    await self._subscribe(unknown)
                await self._topics.release(topic, departure)
                self._told.discard(queue)
            case _End(topic):
                await self._topics.unsubscribe(topic, departure)
                self._told.discard(queue)

    async def _subscribe(self, hold: _Hold) -> None:
        request = SubscribeRequest(
            subscription=hold.subscription,
            holder=self._topics.identity,
            triggers=hold.triggers,
            lease_ms=self._settings.lease_ms,
            keep_ms=self._settings.keep_ms,
            renews=hold.renews,
        )
        try:
            await self._topics.subscribe(hold.topic, request)
            self._told.add(hold.subscription.queue)
        except TriggerRejectedError as exc:
            log.error(  # noqa: TRY400 - the reason says it all
                "subscription refused: its function gets no messages",
                topic=hold.topic,
                function_id=hold.subscription.function_id,
                reason=str(exc),
            )
