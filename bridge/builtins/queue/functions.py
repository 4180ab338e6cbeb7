"""The functions on dead letters and queue statistics, with iii's exact shapes (spec 02 §6.2, §6.3)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec

from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import BuiltinHandler, FunctionSchema
from bridge.errors import BridgeError, FunctionFailedError
from bridge.protocol import payload

__all__ = ["DeadLetterStore", "Letter", "QueueFunctions", "Resolver"]

OWNER_NAME = "iii-queue"
_BROKER_TYPE = "builtin"
_DLQ_BROKER_TYPE = "function_queue"
_INTERNAL_PREFIX = "__fn_queue::"


Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Names the internal queues, at least one, that a name stands for: itself, or a topic's (spec 02 §6.2)."""


class Letter(Protocol):
    """One dead letter, as lists show it."""

    @property
    def receipt(self) -> str:
        """The receipt of the message."""

    @property
    def payload(self) -> msgspec.Raw:
        """The message."""

    @property
    def error(self) -> str:
        """The error of the last attempt."""

    @property
    def failed_at_s(self) -> int:
        """Unix time."""

    @property
    def retries(self) -> int:
        """Attempts made."""

    @property
    def size_bytes(self) -> int:
        """Size of the message."""


class DeadLetterStore(Protocol):
    """Where dead letters are; every method raises `BridgeError` when they cannot be reached."""

    async def count(self, queues: Sequence[str]) -> int:
        """Count the dead letters of queues."""

    async def depth(self, queues: Sequence[str]) -> int:
        """Count the messages of queues that wait for a free slot."""

    async def page(self, queues: Sequence[str], *, offset: int, limit: int) -> Sequence[Letter]:
        """List dead letters, newest first."""

    async def redrive(self, queues: Sequence[str]) -> int:
        """Send every dead letter on its way again."""

    async def redrive_message(self, queues: Sequence[str], receipt: str) -> int:
        """Send a message's dead letters on their way again; answers how many were there."""

    async def discard_message(self, queues: Sequence[str], receipt: str) -> int:
        """Let a message's dead letters go for good; answers how many were there."""


class _Name(msgspec.Struct, frozen=True):
    """A queue; iii takes either key wherever it takes one, and exactly one of them."""

    queue: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        if (self.queue is None) == (self.topic is None):
            raise ValueError("give `queue` or `topic`, one of them")

    @property
    def given(self) -> str:
        return self.queue or self.topic or ""

    @property
    def name(self) -> str:
        return self.given.removeprefix(_INTERNAL_PREFIX)


class _OneMessage(_Name, frozen=True, kw_only=True):
    message_id: str


class _Page(_Name, frozen=True):
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=0)] = 50


_name_decoder = msgspec.json.Decoder(_Name)
_message_decoder = msgspec.json.Decoder(_OneMessage)
_page_decoder = msgspec.json.Decoder(_Page)


class QueueFunctions:
    """Redrive, discard, lists and statistics of named queues.

    Args:
        dead_letters: Where dead letters are.
        concurrency: The named queues and how many messages of each run at once.
        resolve: Finds the internal queues of a name.
    """

    def __init__(
        self, dead_letters: DeadLetterStore, concurrency: Mapping[str, int], resolve: Resolver
    ) -> None:
        self._dead_letters = dead_letters
        self._concurrency = concurrency
        self._resolve = resolve

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        functions: dict[str, tuple[BuiltinHandler, str]] = {
            "iii::queue::redrive": (self._redrive, "Send every dead letter of a queue on its way again"),
            "iii::queue::redrive_message": (self._redrive_message, "Send one dead letter on its way again"),
            "iii::queue::discard_message": (self._discard_message, "Let one dead letter go for good"),
            "engine::queue::list_topics": (self._list_topics, "List the named queues"),
            "engine::queue::topic_stats": (self._topic_stats, "Count the messages of a queue"),
            "engine::queue::dlq_topics": (self._dlq_topics, "Count the dead letters of every queue"),
            "engine::queue::dlq_messages": (self._dlq_messages, "List the dead letters of a queue"),
        }
        for function_id, (handler, description) in functions.items():
            engine.add_builtin(
                function_id, handler, owner_name=OWNER_NAME, schema=FunctionSchema(description=description)
            )

    async def _redrive(self, call: Call) -> msgspec.Raw:
        queue = decode_input(call, _name_decoder)
        name = _queue_of(queue)
        try:
            redriven = await self._dead_letters.redrive(await self._resolve(name))
        except BridgeError as exc:
            raise FunctionFailedError(
                "redrive_failed", f"Queue '{queue.given}' was not redriven: {exc}"
            ) from exc
        return payload.encode({"queue": queue.given, "redriven": redriven})

    async def _redrive_message(self, call: Call) -> msgspec.Raw:
        message = _message_of(call)
        try:
            queues = await self._resolve(message.name)
            count = await self._dead_letters.redrive_message(queues, message.message_id)
        except BridgeError as exc:
            raise FunctionFailedError("redrive_message_failed", str(exc)) from exc
        return _decided(message, count)

    async def _discard_message(self, call: Call) -> msgspec.Raw:
        message = _message_of(call)
        try:
            queues = await self._resolve(message.name)
            count = await self._dead_letters.discard_message(queues, message.message_id)
        except BridgeError as exc:
            raise FunctionFailedError("discard_message_failed", str(exc)) from exc
        return _decided(message, count)

    async def _list_topics(self, _: Call) -> msgspec.Raw:
        return payload.encode(
            [
                {"name": name, "broker_type": _BROKER_TYPE, "subscriber_count": concurrency}
                for name, concurrency in self._concurrency.items()
            ]
        )

    async def _topic_stats(self, call: Call) -> msgspec.Raw:
        name = _topic_of(decode_input(call, _name_decoder))
        try:
            queues = await self._resolve(name)
            depth, dlq_depth = await self._dead_letters.depth(queues), await self._dead_letters.count(queues)
        except BridgeError as exc:
            raise FunctionFailedError("topic_stats_failed", str(exc)) from exc
        return payload.encode(
            {
                "depth": depth,
                "consumer_count": self._concurrency.get(name, 0),
                "dlq_depth": dlq_depth,
                "config": None,
            }
        )

    async def _dlq_topics(self, _: Call) -> msgspec.Raw:
        try:
            counts = {name: await self._dead_letters.count([name]) for name in self._concurrency}
        except BridgeError as exc:
            raise FunctionFailedError("dlq_topics_failed", str(exc)) from exc
        return payload.encode(
            [
                {"topic": name, "broker_type": _DLQ_BROKER_TYPE, "message_count": count}
                for name, count in counts.items()
            ]
        )

    async def _dlq_messages(self, call: Call) -> msgspec.Raw:
        page = decode_input(call, _page_decoder)
        name = _topic_of(page)
        try:
            queues = await self._resolve(name)
            letters = await self._dead_letters.page(queues, offset=page.offset, limit=page.limit)
        except BridgeError as exc:
            raise FunctionFailedError("dlq_messages_failed", str(exc)) from exc
        return payload.encode(
            [
                {
                    "id": letter.receipt,
                    "payload": letter.payload,
                    "error": letter.error,
                    "failed_at": letter.failed_at_s,
                    "retries": letter.retries,
                    "size_bytes": letter.size_bytes,
                }
                for letter in letters
            ]
        )


def _queue_of(name: _Name) -> str:
    if not name.name:
        raise FunctionFailedError("queue_not_set", "Queue name is required")
    return name.name


def _topic_of(name: _Name) -> str:
    if not name.name:
        raise FunctionFailedError("topic_required", "topic is required")
    return name.name


def _message_of(call: Call) -> _OneMessage:
    message = decode_input(call, _message_decoder)
    _queue_of(message)
    if not message.message_id:
        raise FunctionFailedError("message_id_not_set", "Message ID is required")
    return message


def _decided(message: _OneMessage, count: int) -> msgspec.Raw:
    """Answer as iii does: the count of a discard is called `redriven`, too."""
    return payload.encode({"queue": message.given, "message_id": message.message_id, "redriven": count})
