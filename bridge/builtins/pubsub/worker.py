"""The function `publish` and the trigger type `subscribe`, within one bridge process."""

from functools import partial

import msgspec
import structlog

from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import FunctionSchema
from bridge.engine.triggers import Binding, TriggerType
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT

__all__ = ["PubSub"]

log = structlog.get_logger("bridge.pubsub")

OWNER_NAME = "iii-pubsub"


class _PublishInput(msgspec.Struct, frozen=True):
    topic: str
    data: msgspec.Raw


class _SubscribeConfig(msgspec.Struct, frozen=True):
    topic: str


_publish_decoder = msgspec.json.Decoder(_PublishInput)
_config_decoder = msgspec.json.Decoder(_SubscribeConfig)


class PubSub:
    """Hands each message to every subscription of its topic.

    Nothing is kept: who subscribes later, or whose worker is away, misses the message.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[str, dict[str, Binding]] = {}
        self._topics: dict[str, str] = {}

    def register(self, engine: Engine) -> None:
        """Offer `publish` and the `subscribe` trigger type."""
        engine.add_builtin(
            "publish",
            partial(self._publish, engine),
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
        engine.add_trigger_type(
            TriggerType(
                id="subscribe",
                description="Runs a function with the data of each message published to a topic.",
                provider=self,
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

    def bind(self, binding: Binding) -> None:
        """Subscribe. A configuration without a topic is accepted, as in iii, and hears nothing."""
        try:
            topic = _config_decoder.decode(binding.config).topic
        except msgspec.MsgspecError:
            topic = ""
        if not topic:
            log.warning(
                "subscription without a topic never fires; give its configuration a non-empty `topic`",
                trigger_id=binding.id,
                function_id=binding.function_id,
            )
            return
        self._subscriptions.setdefault(topic, {})[binding.id] = binding
        self._topics[binding.id] = topic

    def unbind(self, binding: Binding) -> None:
        """Unsubscribe; other subscriptions of the topic stay."""
        topic = self._topics.pop(binding.id, None)
        if topic is None:
            return
        subscriptions = self._subscriptions[topic]
        del subscriptions[binding.id]
        if not subscriptions:
            del self._subscriptions[topic]

    async def _publish(self, engine: Engine, call: Call) -> msgspec.Raw:
        message = decode_input(call, _publish_decoder)
        if not message.topic:
            raise FunctionFailedError("topic_not_set", "The topic is empty; name the topic to publish to.")
        for binding in list(self._subscriptions.get(message.topic, {}).values()):
            # The binding's metadata is for state and stream triggers only (spec 03 §4.2).
            delivery = Call(binding.function_id, message.data, namespace=binding.namespace)
            engine.start(delivery, partial(_log_failure, binding))
        return ABSENT


def _log_failure(binding: Binding, outcome: Outcome) -> None:
    if outcome.error is not None:
        log.warning(
            "subscriber failed",
            trigger_id=binding.id,
            function_id=binding.function_id,
            error=outcome.error.message,
        )
