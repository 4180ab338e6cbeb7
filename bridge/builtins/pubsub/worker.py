"""The function `publish` and the trigger type `subscribe`."""

import msgspec
import structlog

from bridge.builtins.pubsub.subscriptions import Subscriptions
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import FunctionSchema
from bridge.engine.triggers import TriggerType
from bridge.errors import FunctionFailedError, StorageError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT
from bridge.storage.broker import Broker

__all__ = ["PubSub"]

log = structlog.get_logger("bridge.pubsub")

OWNER_NAME = "iii-pubsub"


class _PublishInput(msgspec.Struct, frozen=True):
    topic: str
    data: msgspec.Raw


_publish_decoder = msgspec.json.Decoder(_PublishInput)


class PubSub:
    """Hands each message to every subscription of its topic.

    Nothing is kept: who subscribes later, or whose worker is away, misses the message.

    Args:
        broker: Carries messages to every bridge it connects, this one included; it belongs to pub/sub alone,
            which closes it.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._subscriptions: Subscriptions | None = None

    def register(self, engine: Engine) -> None:
        """Offer `publish` and the `subscribe` trigger type."""
        engine.add_builtin(
            "publish",
            self._publish,
            owner_name=OWNER_NAME,
            schema=FunctionSchema(
                "Send a message to everyone who is subscribed to its topic now.",
                payload.encode(
                    {
                        "type": "object",
                        "properties": {"topic": {"type": "string", "minLength": 1}, "data": {}},
                        "required": ["topic", "data"],
                    }
                ),
            ),
        )
        self._subscriptions = Subscriptions(engine, self._broker)
        engine.add_trigger_type(
            TriggerType(
                id="subscribe",
                description="Runs a function with the data of each message published to a topic.",
                provider=self._subscriptions,
                owner_name=OWNER_NAME,
                configuration_schema=payload.encode(
                    {
                        "type": "object",
                        "properties": {"topic": {"type": "string", "minLength": 1}},
                        "required": ["topic"],
                    }
                ),
            )
        )

    async def apply(self, broker: Broker) -> None:
        """Carry messages by another broker from now on; the one before is closed.

        Raises:
            StorageError: The new one does not answer; nothing has changed.

        Cancellation: one of the two brokers may stay open.
        """
        left = self._broker
        self._move(broker)
        try:
            await broker.settle()
        except StorageError:
            self._move(left)
            raise
        await left.close()

    async def close(self) -> None:
        """Hand over no message any more."""
        await self._broker.close()

    def _move(self, broker: Broker) -> None:
        self._broker = broker
        if self._subscriptions is not None:
            self._subscriptions.move(broker)

    async def _publish(self, call: Call) -> msgspec.Raw:
        message = decode_input(call, _publish_decoder)
        if not message.topic:
            raise FunctionFailedError("topic_not_set", "The topic is empty; name the topic to publish to.")
        try:
            await self._broker.publish(message.topic, bytes(message.data))
        except StorageError as exc:
            # As in iii: whoever publishes does not learn who hears it, nor that nobody can (spec 03 §4.1).
            log.warning("message lost: it could not be published", topic=message.topic, reason=str(exc))
        return ABSENT
