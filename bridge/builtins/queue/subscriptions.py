"""The trigger types `durable:subscriber` and, under its older name, `queue` (spec 02 §5.2, §5.4)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.builtins.queue.subscriber import Demand
from bridge.builtins.queue.subscription_keeper import SubscriptionKeeper
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from workflows.contract import Subscription

__all__ = ["SubscriberQueues", "Subscriptions"]

_FINISHING_S = 3600
"""How long deliveries go on after the trigger was unregistered: as long as the longest pause of a retry."""


class SubscriberQueues(Protocol):
    """Which internal queues this bridge takes deliveries from."""

    def serve(self, subscription: Subscription, concurrency: int) -> None:
        """Take deliveries from the queue of a subscription from now on, so many at once."""

    def leave(self, subscription: Subscription) -> None:
        """Take no more deliveries from the queue of a subscription; what is queued stays."""


@dataclass(slots=True)
class _Shared:
    """What the triggers of one function and topic share; the settings are those of the newest.

    Attributes:
        triggers: The ids of those that are bound.
    """

    demand: Demand
    triggers: set[str] = field(default_factory=set)


class Subscriptions:
    """Keeps a subscription for every function and topic that has a trigger, however many it has.

    Args:
        engine: Knows which workers are connected.
        keeper: Keeps subscriptions in Temporal.
        queues: Where deliveries come from.
        read: Reads what a trigger asks for, `None` for nothing; raises `TriggerRejectedError`.
    """

    def __init__(
        self,
        engine: Engine,
        keeper: SubscriptionKeeper,
        queues: SubscriberQueues,
        read: Callable[[Binding], Demand | None],
    ) -> None:
        self._engine = engine
        self._keeper = keeper
        self._queues = queues
        self._read = read
        self._shared: dict[str, _Shared] = {}
        self._queue_of: dict[str, str] = {}
        self._finishing: dict[str, asyncio.TimerHandle] = {}

    def bind(self, binding: Binding) -> None:
        """Subscribe. A configuration without a topic is accepted, as in iii, and hears nothing.

        Raises:
            TriggerRejectedError: A name is longer than Temporal takes.
        """
        demand = self._read(binding)
        if demand is None:
            return
        queue = demand.subscription.queue
        if finishing := self._finishing.pop(queue, None):
            finishing.cancel()
        shared = self._shared.setdefault(queue, _Shared(demand))
        shared.demand = demand
        shared.triggers.add(binding.id)
        self._queue_of[binding.id] = queue
        self._queues.serve(demand.subscription, demand.concurrency)
        self._want(shared)

    def unbind(self, binding: Binding) -> None:
        """End the subscription if the last trigger was unregistered; keep it if only its worker left."""
        queue = self._queue_of.pop(binding.id, None)
        if queue is None:
            return
        shared = self._shared[queue]
        shared.triggers.discard(binding.id)
        if shared.triggers:
            self._want(shared)
            return
        del self._shared[queue]
        # The engine forgets a worker before it takes the worker's triggers out of force.
        if binding.owner is not None and binding.owner.id not in self._engine.workers:
            self._keeper.let_go(queue)
            self._queues.leave(shared.demand.subscription)
        else:
            self._keeper.end(queue)
            loop = asyncio.get_running_loop()
            self._finishing[queue] = loop.call_later(_FINISHING_S, self._finish, shared.demand.subscription)

    def _want(self, shared: _Shared) -> None:
        demand = shared.demand
        self._keeper.want(demand.topic, demand.subscription, triggers=len(shared.triggers))

    def _finish(self, subscription: Subscription) -> None:
        del self._finishing[subscription.queue]
        self._queues.leave(subscription)
