"""The trigger type `subscribe` (spec 03 §4.2)."""

from functools import partial

import msgspec
import structlog

from bridge.builtins.firing import log_failure
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding
from bridge.storage.broker import Broker, Subscriber

__all__ = ["Subscriptions"]

log = structlog.get_logger("bridge.pubsub")


class _Config(msgspec.Struct, frozen=True):
    topic: str


_config_decoder = msgspec.json.Decoder(_Config)


class Subscriptions:
    """Runs functions on the messages of their topics; the broker is asked for each topic once.

    Args:
        engine: Runs the bound functions.
        broker: Hands over the messages.
    """

    def __init__(self, engine: Engine, broker: Broker) -> None:
        self._engine = engine
        self._broker = broker
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._topics: dict[str, str] = {}

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
        if topic not in self._bindings:
            self._bindings[topic] = {}
            self._subscribe(topic)
        self._bindings[topic][binding.id] = binding
        self._topics[binding.id] = topic

    def unbind(self, binding: Binding) -> None:
        """Unsubscribe; other subscriptions of the topic stay."""
        topic = self._topics.pop(binding.id, None)
        if topic is None:
            return
        del self._bindings[topic][binding.id]
        if not self._bindings[topic]:
            del self._bindings[topic]
            self._broker.unsubscribe(topic)

    def move(self, broker: Broker) -> None:
        """Have the messages of all topics handed over by another broker from now on."""
        left, self._broker = self._broker, broker
        for topic in self._bindings:
            self._subscribe(topic)
            left.unsubscribe(topic)

    def _subscribe(self, topic: str) -> None:
        self._broker.subscribe(topic, Subscriber(partial(self._deliver, topic)))

    def _deliver(self, topic: str, message: bytes) -> None:
        for binding in list(self._bindings[topic].values()):
            # The binding's metadata is for state and stream triggers only (spec 03 §4.2).
            delivery = Call(binding.function_id, msgspec.Raw(message), namespace=binding.namespace)
            self._engine.start(delivery, partial(log_failure, binding))
