"""`iii-queue` (spec 02 §1)."""

import math
from collections.abc import Container, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from bridge.config.block import (
    Block,
    Milliseconds,
    Name,
    PositiveMilliseconds,
    Unsigned32,
    Unsigned64,
    conflict,
)
from bridge.config.blocks.adapters import BuiltinQueueAdapter, QueueAdapter

__all__ = ["DEFAULT_QUEUE", "DeadLetterLimits", "QueueBlock", "QueueConfig"]

DEFAULT_QUEUE = "default"
_DEFAULT_MAX_BACKOFF_MS = 3_600_000
_MAX_NAME_BYTES = 200

Concurrency = Annotated[int, Field(ge=1, le=2**32 - 1)]


def _short_enough(name: str) -> str:
    # Names become part of task queues and workflow ids; Temporal's limit for those is 1,000 bytes.
    if not 1 <= len(name.encode()) <= _MAX_NAME_BYTES:
        raise conflict(f"the name of a queue has 1 to {_MAX_NAME_BYTES} bytes", "rename the queue")
    return name


QueueName = Annotated[str, AfterValidator(_short_enough)]


class DeadLetterLimits(Block):
    """When the dead letters of a queue are too many; ours.

    Attributes:
        capacity: Dead letters the operator is ready to have; `None` watches nothing.
        alert_at: The share of the capacity at which there are too many.
        alert_function_id: The function that is called when there are.
    """

    capacity: Annotated[int, Field(ge=1, le=2**32 - 1)] | None = None
    alert_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    alert_function_id: Name | None = None

    @property
    def threshold(self) -> int | None:
        """From how many dead letters on there are too many."""
        return None if self.capacity is None else max(1, math.ceil(self.alert_at * self.capacity))

    @field_validator("alert_function_id")
    @classmethod
    def _alerts_about_a_capacity(cls, function_id: str | None, info: ValidationInfo) -> str | None:
        if function_id is not None and info.data.get("capacity") is None:
            raise conflict("an alert needs `capacity`", "say how many dead letters you are ready to have")
        return function_id


class QueueConfig(Block):
    """One named queue: how its messages are ordered, retried and given up.

    Attributes:
        max_retries: Attempts in all, as in iii's own queue; 0 is 1.
        concurrency: Messages worked on at once, for fifo groups worked on at once, per bridge process.
        kind: Key `type`. `fifo` keeps the order of messages with the same `message_group_field`.
        message_group_field: The top-level payload key that names the group.
        max_priority: The highest priority; `None` is 4.
        priority_field: The top-level payload key with the priority; larger is more urgent.
        backoff_ms: Delay after the first failure.
        poll_interval_ms: Accepted and without effect; Temporal pushes.
        timeout_ms: Ours. How long one attempt may take.
        max_backoff_ms: Ours. The longest delay between two attempts.
        backoff_type: Ours. How the delay grows.
        non_retryable_errors: Ours. Error codes that go to the dead letters at once.
        rate_per_s: Ours. Attempts started per second over all bridges; `None` is unlimited.
        provider_timeout_ms: Ours. How long a message waits for a worker that offers its function;
            `None` waits for ever.
        delay_field: Ours. The top-level payload key with the milliseconds before the first delivery.
        dedupe_field: Ours. The top-level payload key whose value makes two messages of the queue the same.
        dedupe_window_ms: Ours. How long after the first one they are.
        on_dead_letter: Ours. What a fifo group does once a message of it is lost: `continue` with the next
            one, or `block` until the lost one is redriven or discarded.
        dlq: Ours. When dead letters are too many.
    """

    max_retries: Unsigned32 = 3
    concurrency: Concurrency = 10
    kind: Literal["standard", "fifo"] = Field(default="standard", alias="type")
    message_group_field: Name | None = Field(default=None, validate_default=True)
    max_priority: Annotated[int, Field(ge=1, le=255)] | None = None
    priority_field: Name | None = None
    backoff_ms: Milliseconds = 1000
    poll_interval_ms: Unsigned64 = 100
    timeout_ms: PositiveMilliseconds = 1_800_000
    max_backoff_ms: PositiveMilliseconds = Field(
        default_factory=lambda data: max(_DEFAULT_MAX_BACKOFF_MS, data.get("backoff_ms", 0))
    )
    backoff_type: Literal["exponential", "linear", "fixed"] = "exponential"
    non_retryable_errors: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    rate_per_s: Annotated[float, Field(gt=0, le=100_000)] | None = None
    provider_timeout_ms: PositiveMilliseconds | None = None
    delay_field: Name | None = None
    dedupe_field: Name | None = None
    dedupe_window_ms: PositiveMilliseconds = 300_000
    on_dead_letter: Literal["continue", "block"] = "continue"
    dlq: DeadLetterLimits = DeadLetterLimits()

    @property
    def is_fifo(self) -> bool:
        """Whether messages of one group are delivered strictly in order."""
        return self.kind == "fifo"

    @property
    def max_attempts(self) -> int:
        """Deliveries before a message is a dead letter, the first one included (spec 02 §4.1)."""
        return max(1, self.max_retries)

    def backoff_after_ms(self, failure: int) -> int:
        """Tell how long to wait after a failure, counted from 1."""
        match self.backoff_type:
            case "exponential":
                # A shift beyond this is over any limit, and a large one would only cost memory.
                delay_ms = self.backoff_ms << min(failure - 1, 64)
            case "linear":
                delay_ms = self.backoff_ms * failure
            case _:
                delay_ms = self.backoff_ms
        return min(delay_ms, self.max_backoff_ms)

    @field_validator("message_group_field")
    @classmethod
    def _fifo_has_groups(cls, group_field: str | None, info: ValidationInfo) -> str | None:
        if group_field is None and info.data.get("kind") == "fifo":
            raise conflict(
                "fifo needs `message_group_field`",
                "name the top-level payload key that holds the group, for example `order_id`",
            )
        return group_field

    @field_validator("on_dead_letter")
    @classmethod
    def _only_groups_are_held(cls, on_dead_letter: str, info: ValidationInfo) -> str:
        if on_dead_letter == "block" and info.data.get("kind") == "standard":
            raise conflict(
                "`on_dead_letter: block` needs `type: fifo`",
                "add `type: fifo` and `message_group_field`, or remove the key: a standard queue has no"
                " order to keep",
            )
        return on_dead_letter

    @field_validator("max_backoff_ms")
    @classmethod
    def _caps_the_first_delay(cls, max_backoff_ms: int, info: ValidationInfo) -> int:
        backoff_ms = info.data.get("backoff_ms", 0)
        if max_backoff_ms < backoff_ms:
            raise conflict(
                "`max_backoff_ms` is shorter than `backoff_ms`",
                f"give at least {backoff_ms}, or lower `backoff_ms`",
            )
        return max_backoff_ms


class QueueBlock(Block):
    """Named queues, and the defaults of durable topics.

    Attributes:
        adapter: Accepted; whatever it says, queues are in Temporal.
        queues: Key `queue_configs`. The named queues; `default` is always among them.
        console_routes: Ours. Whether HTTP serves what iii's console asks about queues, under `_console/`.
        absent_subscriber_timeout_ms: Ours. How long a topic keeps messages for a function whose worker does
            not return.
    """

    live: ClassVar[Container[str]] = ("queue_configs",)

    adapter: QueueAdapter = BuiltinQueueAdapter()
    queues: Mapping[QueueName, QueueConfig] = Field(
        default_factory=lambda: {DEFAULT_QUEUE: QueueConfig()}, alias="queue_configs"
    )
    console_routes: bool = False
    absent_subscriber_timeout_ms: PositiveMilliseconds = 7 * 24 * 3600 * 1000

    @model_validator(mode="before")
    @classmethod
    def _default_queue_exists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(queues := data.get("queue_configs"), dict):
            return data | {"queue_configs": {DEFAULT_QUEUE: {}} | queues}
        return data

    @classmethod
    def subject(cls, path: tuple[str | int, ...]) -> str | None:
        """Name the queue a key belongs to."""
        match path:
            case ("queue_configs", name, *_):
                return f"queue '{name}'"
            case _:
                return None

    def notices(self) -> Iterator[str]:
        """Tell that no other queue server is used, and of keys that do nothing alone."""
        if self.adapter.name != "builtin":
            yield (
                f"iii-queue: adapter `{self.adapter.name}` has no effect, queues live in Temporal;"
                " remove the adapter"
            )
        for name, queue in self.queues.items():
            if queue.max_priority is not None and queue.priority_field is None:
                yield (
                    f"queue '{name}': `max_priority` has no effect without `priority_field`;"
                    " name the payload key that has the priority"
                )
            if "dedupe_window_ms" in queue.model_fields_set and queue.dedupe_field is None:
                yield (
                    f"queue '{name}': `dedupe_window_ms` has no effect without `dedupe_field`;"
                    " name the payload key that tells duplicates"
                )
            if queue.message_group_field is not None and not queue.is_fifo:
                yield (
                    f"queue '{name}': `message_group_field` has no effect on a standard queue;"
                    " add `type: fifo` to keep the order of each group"
                )
