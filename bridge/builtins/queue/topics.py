"""Durable topics: every subscribed function gets a copy of its own of each message (spec 02 §5)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from bridge.builtins.queue.chain_events import ChainEvents, SendEvent
from bridge.builtins.queue.functions import OWNER_NAME
from bridge.builtins.queue.ports import TopicStore
from bridge.builtins.queue.subscriber import CONFIGURATION_SCHEMA, SubscriberDefaults, read_subscriber
from bridge.builtins.queue.subscription_keeper import KeeperSettings, SubscriptionKeeper
from bridge.builtins.queue.subscriptions import SubscriberQueues, Subscriptions
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import FunctionSchema
from bridge.engine.triggers import TriggerType
from bridge.errors import BridgeError, EngineError, EnqueueError, FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT
from workflows.contract import Subscriber, Subscription

__all__ = ["DurableTopics", "SendCopy"]

log = structlog.get_logger("bridge.queue")

_PUBLISH_FUNCTIONS = ("iii::durable::publish", "enqueue")
"""The name since 0.11, and the one before."""
_TRIGGER_TYPES = ("durable:subscriber", "queue")
"""The name since 0.11, and the one before."""
_COPIES_AT_ONCE = 50
_SETTLE_S = 8
_TOPICS_WARNED_OF = 1000

SendCopy = Callable[[Call, Subscription], Awaitable[str]]
"""Accepts a subscriber's copy of a message and returns its receipt. Raises `EnqueueError`."""


class _PublishInput(msgspec.Struct, frozen=True):
    topic: str
    data: msgspec.Raw


_publish_decoder = msgspec.json.Decoder(_PublishInput)


class DurableTopics:
    """Publishes messages and keeps the subscriptions of this bridge's triggers.

    Args:
        engine: Runs the functions.
        topics: Where subscriptions are.
        send: Accepts copies.
        send_event: Gives those who watch chains what they are told.
        queues: Where deliveries come from.
        settings: How subscriptions are kept.
        defaults: For what a trigger does not say.
    """

    def __init__(
        self,
        engine: Engine,
        topics: TopicStore,
        send: SendCopy,
        send_event: SendEvent,
        queues: SubscriberQueues,
        *,
        settings: KeeperSettings,
        defaults: SubscriberDefaults,
    ) -> None:
        self._topics = topics
        self._send = send
        self._keeper = SubscriptionKeeper(topics, settings)
        self._subscriptions = Subscriptions(
            engine, self._keeper, queues, lambda binding: read_subscriber(binding, defaults)
        )
        self._chain_events = ChainEvents(
            engine, self._keeper, topics.subscribers, queues, send_event, defaults
        )
        self._unheard: set[str] = set()

    def register(self, engine: Engine) -> None:
        """Offer the publish functions and the trigger types, each under both its names."""
        for function_id in _PUBLISH_FUNCTIONS:
            engine.add_builtin(
                function_id,
                self._publish,
                owner_name=OWNER_NAME,
                schema=FunctionSchema(
                    "Give every function that is subscribed to a topic a copy of a message to keep.",
                    payload.encode(
                        {
                            "type": "object",
                            "properties": {"topic": {"type": "string", "minLength": 1}, "data": {}},
                            "required": ["topic", "data"],
                        }
                    ),
                ),
            )
        self._chain_events.register(engine)
        for type_id in _TRIGGER_TYPES:
            engine.add_trigger_type(
                TriggerType(
                    id=type_id,
                    description="Runs a function with each message published to a durable topic.",
                    provider=self._subscriptions,
                    owner_name=OWNER_NAME,
                    configuration_schema=payload.encode(CONFIGURATION_SCHEMA),
                )
            )

    @property
    def chain_events(self) -> ChainEvents:
        """What tells functions of the events of chains."""
        return self._chain_events

    async def run(self) -> None:
        """Keep the subscriptions in line with the triggers, for as long as Temporal takes to be reached.

        Cancellation: safe; call `close` afterwards.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run(), name="keep subscriptions")
            tasks.create_task(self._chain_events.run(), name="watch chains")

    async def close(self) -> None:
        """Leave the subscriptions to wait for their workers. Call it after `run` and the workers have ended.

        Cancellation: safe; what was not told is noticed when the lease ends.
        """
        await self._keeper.close()

    async def _publish(self, call: Call) -> msgspec.Raw:
        message = decode_input(call, _publish_decoder)
        if not message.topic:
            raise FunctionFailedError("topic_not_set", "Topic is not set")
        subscribers = await self._subscribers(message.topic)
        if not subscribers:
            self._warn_once(message.topic)
            return ABSENT
        self._unheard.discard(message.topic)
        await self._send_copies(call, message, [each.subscription for each in subscribers])
        return ABSENT

    async def _subscribers(self, topic: str) -> Sequence[Subscriber]:
        """Read who is subscribed, once what changed here before this publish is in force."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._keeper.settled(topic)
            return await self._topics.subscribers(topic)
        except TimeoutError as exc:
            raise EnqueueError(
                f"Nothing was published to '{topic}': a subscription of this bridge is not in Temporal yet. "
                "Try again when Temporal answers."
            ) from exc
        except EngineError as exc:
            raise EnqueueError(
                f"Nothing was published to '{topic}': {exc}. Try again when Temporal answers."
            ) from exc

    async def _send_copies(self, call: Call, message: _PublishInput, to: Sequence[Subscription]) -> None:
        slots = asyncio.Semaphore(_COPIES_AT_ONCE)
        failures: list[BridgeError] = []

        async def send(subscription: Subscription) -> None:
            copy = Call(
                subscription.function_id,
                message.data,
                namespace=subscription.namespace,
                traceparent=call.traceparent,
                baggage=call.baggage,
                job=call.job,
                caller=call.caller,
            )
            async with slots:
                try:
                    await self._send(copy, subscription)
                except BridgeError as exc:
                    failures.append(exc)

        async with asyncio.TaskGroup() as tasks:
            for subscription in to:
                tasks.create_task(send(subscription), name=f"publish to {subscription.queue}")
        if failures:
            raise EnqueueError(
                f"{len(failures)} of {len(to)} subscribers of '{message.topic}' got no copy: {failures[0]}"
            )

    def _warn_once(self, topic: str) -> None:
        if topic in self._unheard:
            return
        if len(self._unheard) >= _TOPICS_WARNED_OF:
            self._unheard.clear()
        self._unheard.add(topic)
        log.warning("message dropped: nobody is subscribed to its topic", topic=topic)
