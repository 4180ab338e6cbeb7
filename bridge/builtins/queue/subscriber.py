"""What a trigger of a durable topic asks for (spec 02 §5.2)."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
import structlog

from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol.payload import is_object, is_present
from workflows.contract import RetryRules, Subscription
from workflows.names import subscriber_queue

__all__ = ["CONFIGURATION_SCHEMA", "Demand", "SubscriberDefaults", "read_subscriber"]

log = structlog.get_logger("bridge.queue")

_YEAR_S = 365 * 24 * 3600
_YEAR_MS = _YEAR_S * 1000
_LONGEST_BACKOFF_MS = 3_600_000
_LONGEST_ID = 1000
"""Temporal takes no longer type of an activity, which is what a function becomes."""
_FIFO_GROUP = "all"

_text = msgspec.json.Decoder(str)
_values = msgspec.json.Decoder(dict[str, msgspec.Raw])
_queue_config_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    "type": _text,
    "maxRetries": msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=2**31 - 2)]),
    "concurrency": msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=100_000)]),
    "backoffDelayMs": msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=_YEAR_MS)]),
    "backoffType": msgspec.json.Decoder(Literal["exponential", "linear", "fixed"]),
    "visibilityTimeout": msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=1, le=_YEAR_S)]),
    "delaySeconds": msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, le=_YEAR_S)]),
}

CONFIGURATION_SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "minLength": 1},
        "condition_function_id": {"type": "string"},
        "queue_config": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "fifo, or anything else for any order"},
                "maxRetries": {"type": "integer", "minimum": 0},
                "concurrency": {"type": "integer", "minimum": 0},
                "backoffDelayMs": {"type": "integer", "minimum": 0},
                "backoffType": {"enum": ["exponential", "linear", "fixed"], "default": "exponential"},
                "visibilityTimeout": {"type": "integer", "minimum": 1, "description": "seconds"},
                "delaySeconds": {"type": "integer", "minimum": 0},
            },
        },
    },
    "required": ["topic"],
}


@dataclass(frozen=True, slots=True)
class SubscriberDefaults:
    """What a trigger gets that says nothing.

    Attributes:
        attempts: Deliveries before a copy is dead-lettered.
        backoff_ms: Delay after the first failure.
        concurrency: Copies that run at once, per bridge.
        is_fifo: Whether copies are delivered strictly one after the other.
        heartbeat_timeout_ms: How soon Temporal notices that the bridge running a delivery is gone.
    """

    attempts: int = 3
    backoff_ms: int = 1000
    concurrency: int = 10
    is_fifo: bool = False
    heartbeat_timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Demand:
    """What a trigger asks for.

    Attributes:
        concurrency: Copies that run at once, per bridge; 0 pauses.
    """

    topic: str
    subscription: Subscription
    concurrency: int


def read_subscriber(binding: Binding, defaults: SubscriberDefaults) -> Demand | None:
    """Read a trigger's configuration. What iii skips is skipped, with a warning.

    Returns:
        `None` when it names no topic: it is registered, as in iii, and hears nothing.

    Raises:
        TriggerRejectedError: A name is longer than Temporal takes.
    """
    given = _Given(binding, binding.config)
    topic = given.value("topic", _text) or ""
    if not topic:
        given.warn("subscription without a topic never fires; give its configuration a non-empty `topic`")
        return None
    condition = given.value("condition_function_id", _text) or given.value("_condition_path", _text)
    for name in (topic, binding.function_id, binding.namespace, condition or ""):
        if len(name) > _LONGEST_ID:
            raise TriggerRejectedError(
                f"The name {name[:40]}… has {len(name)} characters; the topic, the function, its namespace "
                f"and its condition may have {_LONGEST_ID} each. Shorten it."
            )
    tuning = given.inner("queue_config")
    settings = {key: tuning.value(key, decoder) for key, decoder in _queue_config_decoders.items()}
    kind, concurrency = settings["type"], settings["concurrency"]
    is_fifo = defaults.is_fifo if kind is None else kind == "fifo"
    subscription = Subscription(
        queue=subscriber_queue(topic, binding.function_id, binding.namespace),
        function_id=binding.function_id,
        rules=_rules(settings, defaults),
        namespace=binding.namespace,
        group=_FIFO_GROUP if is_fifo else None,
        delay_ms=(settings["delaySeconds"] or 0) * 1000,
        condition_function_id=condition,
    )
    if is_fifo:
        concurrency = 1
    return Demand(topic, subscription, defaults.concurrency if concurrency is None else concurrency)


def _rules(settings: dict[str, Any], defaults: SubscriberDefaults) -> RetryRules:
    retries, backoff_ms = settings["maxRetries"], settings["backoffDelayMs"]
    backoff_ms = defaults.backoff_ms if backoff_ms is None else backoff_ms
    rules = RetryRules(
        attempts=defaults.attempts if retries is None else retries + 1,
        backoff_ms=backoff_ms,
        max_backoff_ms=max(_LONGEST_BACKOFF_MS, backoff_ms),
        backoff_type=settings["backoffType"] or "exponential",
        heartbeat_timeout_ms=defaults.heartbeat_timeout_ms,
    )
    timeout_s = settings["visibilityTimeout"]
    return rules if timeout_s is None else replace(rules, timeout_ms=timeout_s * 1000)


class _Given:
    """A mapping of a trigger's configuration, read value by value: one that is wrong spoils no other."""

    def __init__(self, binding: Binding, config: msgspec.Raw) -> None:
        self._binding = binding
        self._values = _values.decode(config) if is_object(config) else {}

    def value(self, key: str, decoder: msgspec.json.Decoder[Any]) -> Any:
        """Return a value, or `None` when it is absent or cannot be used."""
        value = self._values.get(key)
        if value is None or not is_present(value):
            return None
        try:
            return decoder.decode(value)
        except msgspec.ValidationError as exc:
            self.warn(f"subscription setting `{key}` skipped: {exc}")
            return None

    def inner(self, key: str) -> "_Given":
        """Return a mapping within, an empty one when there is none."""
        value = self._values.get(key)
        if value is not None and is_present(value) and not is_object(value):
            self.warn(f"subscription setting `{key}` skipped: it is not an object")
        return _Given(self._binding, value if value is not None else msgspec.Raw(b""))

    def warn(self, what: str) -> None:
        """Tell the operator."""
        log.warning(what, trigger_id=self._binding.id, function_id=self._binding.function_id)
