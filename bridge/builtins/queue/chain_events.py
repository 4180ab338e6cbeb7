"""The trigger type `chain`: functions that are told what happens in chains; ours (docs/chains.md).

A subscription is that of a durable topic of our own, so every bridge sees it and it outlives its worker. The
chain itself tells what happens, in order; each subscriber gets the events of one chain one after the other.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated

import msgspec
import structlog

from bridge.builtins.queue.functions import OWNER_NAME
from bridge.builtins.queue.subscriber import Demand, SubscriberDefaults
from bridge.builtins.queue.subscription_keeper import SubscriptionKeeper
from bridge.builtins.queue.subscriptions import SubscriberQueues, Subscriptions
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding, TriggerType
from bridge.errors import BridgeError, TriggerRejectedError
from bridge.protocol import payload
from workflows.chain_events import ChainEventType
from workflows.contract import ChainEvent, RetryRules, Subscriber, Subscription
from workflows.names import subscriber_queue

__all__ = ["ChainEvents", "SendEvent"]

log = structlog.get_logger("bridge.queue")

_TOPIC = "iii.chain_events"
_LOOK_AGAIN_S = 5.0
"""How long it may take until a bridge hears that somebody has begun to watch on another one."""
_ALL = tuple(ChainEventType)
_LONGEST_BACKOFF_MS = 3_600_000
_IDS = uuid.UUID("5b1c6f8e-7a0d-4c6e-9a55-1f0c8f6f3f10")

SendEvent = Callable[[Subscription, str, str, bytes], Awaitable[None]]
"""Gives a subscriber an event: under a receipt, in the order of a group. A second time changes nothing."""

FetchSubscribers = Callable[[str], Awaitable[Sequence[Subscriber]]]
"""Returns who is subscribed to a topic now, on whichever bridge."""


class _Config(msgspec.Struct, frozen=True):
    """Which events to tell of.

    Attributes:
        events: `None` for all.
        function_ids: Only of steps of these functions, and of chains that began with them; `None` for all.
        condition_function_id: Asked before every delivery; `false` skips it.
        max_retries: Attempts in all.
        backoff_ms: Delay after the first failure.
    """

    events: Annotated[tuple[ChainEventType, ...], msgspec.Meta(min_length=1)] | None = None
    function_ids: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)] | None = None
    condition_function_id: str | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    backoff_ms: Annotated[int, msgspec.Meta(ge=0, le=_LONGEST_BACKOFF_MS)] | None = None


_config = msgspec.json.Decoder(_Config)


class ChainEvents:
    """Tells functions what happens in chains.

    Args:
        engine: Knows which workers are connected.
        keeper: Keeps the subscriptions in Temporal.
        subscribers: Reads them.
        queues: Where deliveries come from.
        send: Gives a subscriber an event.
        defaults: For what a trigger does not say.
    """

    def __init__(
        self,
        engine: Engine,
        keeper: SubscriptionKeeper,
        subscribers: FetchSubscribers,
        queues: SubscriberQueues,
        send: SendEvent,
        defaults: SubscriberDefaults,
    ) -> None:
        self._keeper = keeper
        self._subscribers = subscribers
        self._send = send
        self._defaults = defaults
        self._subscriptions = Subscriptions(engine, keeper, queues, self._demand)
        self._bound: set[str] = set()
        self._is_watched = False

    def register(self, engine: Engine) -> None:
        """Provide the trigger type."""
        engine.add_trigger_type(
            TriggerType(
                id="chain",
                description="Runs a function when something happens in a chain of queued messages.",
                provider=self,
                owner_name=OWNER_NAME,
                configuration_schema=payload.encode(msgspec.json.schema(_Config)),
            )
        )

    def is_watched(self) -> bool:
        """Tell whether somebody watches chains, as far as this bridge knows."""
        return self._is_watched

    def bind(self, binding: Binding) -> None:
        """Subscribe.

        Raises:
            TriggerRejectedError: The configuration cannot be used.
        """
        self._subscriptions.bind(binding)
        self._bound.add(binding.id)
        self._is_watched = True

    def unbind(self, binding: Binding) -> None:
        """End the subscription if its trigger was unregistered; keep it if only its worker left."""
        self._subscriptions.unbind(binding)
        self._bound.discard(binding.id)

    async def run(self) -> None:
        """Keep in mind whether somebody watches, on whichever bridge.

        Cancellation: safe.
        """
        while True:
            try:
                await self._keeper.settled(_TOPIC)
                subscribers = await self._subscribers(_TOPIC)
                # What was bound here since is not among them yet.
                self._is_watched = bool(subscribers) or bool(self._bound)
            except BridgeError as exc:
                log.debug("watchers of chains not known now", reason=str(exc))
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def publish(self, events: list[ChainEvent]) -> None:
        """Give every subscriber the events of one chain that it wants to hear of, in their order.

        Raises:
            BridgeError: Temporal did not answer; what was sent before is not sent twice if this is repeated.
        """
        await self._keeper.settled(_TOPIC)
        async with asyncio.TaskGroup() as telling:
            for subscriber in await self._subscribers(_TOPIC):
                queue = subscriber.subscription.queue
                telling.create_task(self._tell(subscriber.subscription, events), name=f"tell {queue}")

    async def _tell(self, subscription: Subscription, events: list[ChainEvent]) -> None:
        for event in events:
            if _is_wanted(subscription, event):
                await self._send(subscription, _receipt(subscription, event), event.home, _told(event))

    def _demand(self, binding: Binding) -> Demand:
        """Read a trigger's configuration.

        Raises:
            TriggerRejectedError: It cannot be used.
        """
        try:
            config = _config.decode(binding.config) if payload.is_present(binding.config) else _Config()
        except msgspec.MsgspecError as exc:
            raise TriggerRejectedError(
                f"The configuration of a `chain` trigger cannot be used: {exc}. Events: {', '.join(_ALL)}."
            ) from exc
        retries, backoff_ms = config.max_retries, config.backoff_ms
        subscription = Subscription(
            queue=_queue(binding, config.events, config.function_ids),
            function_id=binding.function_id,
            rules=RetryRules(
                attempts=self._defaults.attempts if retries is None else max(retries, 1),
                backoff_ms=self._defaults.backoff_ms if backoff_ms is None else backoff_ms,
                heartbeat_timeout_ms=self._defaults.heartbeat_timeout_ms,
            ),
            namespace=binding.namespace,
            condition_function_id=config.condition_function_id,
            events=config.events or (),
            function_ids=config.function_ids or (),
        )
        return Demand(_TOPIC, subscription, self._defaults.concurrency)


def _queue(binding: Binding, events: Iterable[str] | None, function_ids: Iterable[str] | None) -> str:
    """Name a subscription: replicas that ask for the same share one, whoever asks for more gets another."""
    name = subscriber_queue(_TOPIC, binding.function_id, binding.namespace)
    if events is None and function_ids is None:
        return name
    asked = repr((sorted(events or ()), sorted(function_ids or ())))
    return f"{name}#{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def _is_wanted(subscription: Subscription, event: ChainEvent) -> bool:
    function_id = event.message.function_id if event.message else event.first_function_id
    return (not subscription.events or event.event in subscription.events) and (
        not subscription.function_ids or function_id in subscription.function_ids
    )


def _receipt(subscription: Subscription, event: ChainEvent) -> str:
    return str(uuid.uuid5(_IDS, f"{event.run_id}/{event.sequence}/{subscription.queue}"))


def _told(event: ChainEvent) -> bytes:
    told: dict[str, object] = {
        "event": event.event,
        "sequence": event.sequence,
        "at_ms": event.at_ms,
        "chain_id": event.chain_id,
        "workflow_id": event.workflow_id,
        "run_id": event.run_id,
        "function_id": event.first_function_id,
    }
    if (message := event.message) is not None:
        step: dict[str, object] = {
            "receipt": message.receipt,
            "function_id": message.function_id,
            "queue": message.queue,
        }
        if message.compensates is not None:
            step["compensates"] = message.compensates
        if event.attempt is not None:
            step["attempt"] = event.attempt
        if event.result is not None:
            step["result"] = msgspec.Raw(event.result.encode())
        told["step"] = step
    if event.error is not None:
        told["error"] = {"code": event.code, "message": event.error}
    return bytes(payload.encode(told))
