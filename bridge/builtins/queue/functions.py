"""The functions on single dead letters and queue statistics, with iii's exact shapes (spec 02 §6.2, §6.3)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from bridge.builtins.queue.details import letter_row
from bridge.builtins.queue.in_flight import InFlight
from bridge.builtins.queue.inputs import (
    Details,
    Name,
    OneMessage,
    Page,
    read_message,
    read_name,
    read_page,
    schema_of,
    wants_details,
)
from bridge.builtins.queue.known_queues import KnownQueues
from bridge.builtins.queue.ports import DeadLetterStore, Letter, Link
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import BuiltinHandler, FunctionSchema
from bridge.engine.observation import DeadLetterLimit, QueueState
from bridge.errors import BridgeError, FunctionFailedError
from bridge.protocol import payload
from workflows.contract import LetterFilter

__all__ = ["OWNER_NAME", "QueueFunctions"]

OWNER_NAME = "iii-queue"
_BROKER_TYPE = "builtin"
_DLQ_BROKER_TYPE = "function_queue"


class QueueFunctions:
    """Lists and statistics of queues and topics, and decisions about single dead letters.

    Args:
        dead_letters: Where dead letters are.
        known: Knows queues and topics.
        link: Returns the page of a workflow's run in Temporal's Web UI, if it is known where that is.
        now_ms: Unix time.
        read_queues: Asks about the queues; raises `BridgeError` when it gets no answer.
        limits: When the dead letters of a queue are too many.
    """

    def __init__(
        self,
        dead_letters: DeadLetterStore,
        known: KnownQueues,
        *,
        link: Link,
        now_ms: Callable[[], int],
        read_queues: Callable[[], Awaitable[Sequence[QueueState]]],
        limits: Mapping[str, DeadLetterLimit],
    ) -> None:
        self._dead_letters = dead_letters
        self._known = known
        self._link = link
        self._now_ms = now_ms
        self._read_queues = read_queues
        self._limits = limits
        self._in_flight = InFlight()

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        engine.observers.append(self._in_flight)
        any_input = FunctionSchema(description="Count the dead letters of queues and topics")
        functions: dict[str, tuple[BuiltinHandler, FunctionSchema]] = {
            "iii::queue::redrive_message": (
                self._redrive_message,
                schema_of(OneMessage, "Send one dead letter on its way again"),
            ),
            "iii::queue::discard_message": (
                self._discard_message,
                schema_of(OneMessage, "Let one dead letter go for good"),
            ),
            "engine::queue::list_topics": (
                self._list_topics,
                schema_of(Details, "List the queues and topics"),
            ),
            "engine::queue::topic_stats": (
                self._topic_stats,
                schema_of(Name, "Count the messages of a queue or topic"),
            ),
            "engine::queue::dlq_topics": (self._dlq_topics, any_input),
            "engine::queue::dlq_messages": (
                self._dlq_messages,
                schema_of(Page, "List the dead letters of a queue or topic"),
            ),
        }
        for function_id, (handler, schema) in functions.items():
            engine.add_builtin(function_id, handler, owner_name=OWNER_NAME, schema=schema)

    async def _redrive_message(self, call: Call) -> msgspec.Raw:
        message = read_message(call)
        try:
            queues = await self._known.resolve(message.name)
            count = await self._dead_letters.redrive_message(queues, message.message_id)
        except BridgeError as exc:
            raise FunctionFailedError("redrive_message_failed", str(exc)) from exc
        return _decided(message, count)

    async def _discard_message(self, call: Call) -> msgspec.Raw:
        message = read_message(call)
        try:
            queues = await self._known.resolve(message.name)
            count = await self._dead_letters.discard_message(queues, message.message_id)
        except BridgeError as exc:
            raise FunctionFailedError("discard_message_failed", str(exc)) from exc
        return _decided(message, count)

    async def _list_topics(self, call: Call) -> msgspec.Raw:
        try:
            known = await self._known.all()
            states = {each.name: each for each in await self._read_queues()} if wants_details(call) else None
        except BridgeError as exc:
            raise FunctionFailedError("list_topics_failed", str(exc)) from exc
        rows = []
        for each in known:
            row = {"name": each.name, "broker_type": _BROKER_TYPE, "subscriber_count": each.consumers}
            if states is None:
                rows.append(row)
            elif seen := [states[queue] for queue in each.queues if queue in states]:
                rows.append(row | self._state(each.name, seen))
        return payload.encode(rows)

    def _state(self, name: str, seen: Sequence[QueueState]) -> dict[str, Any]:
        limit = self._limits.get(name)
        waiting = [state.waiting for state in seen if state.waiting is not None]
        return {
            "depth": sum(state.depth for state in seen),
            "oldest_ms": round(max(state.oldest_s for state in seen) * 1000),
            "in_flight": sum(self._in_flight.of(state.name) for state in seen),
            "waiting_for_provider": sum(waiting) if waiting else None,
            "dead_letters": sum(state.dead_letters for state in seen),
            "dead_letter_capacity": limit.capacity if limit else None,
            "dead_letter_threshold": limit.threshold if limit else None,
        }

    async def _topic_stats(self, call: Call) -> msgspec.Raw:
        name = read_name(call).name
        try:
            known = await self._known.find(name)
            depth = await self._dead_letters.depth(known.queues)
            dlq_depth = await self._dead_letters.count(LetterFilter(known.queues))
        except BridgeError as exc:
            raise FunctionFailedError("topic_stats_failed", str(exc)) from exc
        return payload.encode(
            {"depth": depth, "consumer_count": known.consumers, "dlq_depth": dlq_depth, "config": None}
        )

    async def _dlq_topics(self, _: Call) -> msgspec.Raw:
        try:
            rows = [
                {
                    "topic": each.name,
                    "broker_type": _BROKER_TYPE if each.is_topic else _DLQ_BROKER_TYPE,
                    "message_count": await self._dead_letters.count(LetterFilter(each.queues)),
                }
                for each in await self._known.all()
            ]
        except BridgeError as exc:
            raise FunctionFailedError("dlq_topics_failed", str(exc)) from exc
        return payload.encode(rows)

    async def _dlq_messages(self, call: Call) -> msgspec.Raw:
        page = read_page(call)
        try:
            queues = await self._known.resolve(page.name)
            letters = await self._letters(page, queues)
        except BridgeError as exc:
            raise FunctionFailedError("dlq_messages_failed", str(exc)) from exc
        link = self._link if page.details else None
        return payload.encode([letter_row(letter, link) for letter in letters])

    async def _letters(self, page: Page, queues: tuple[str, ...]) -> list[Letter]:
        if page.message_id is not None:
            return list(await self._dead_letters.find(queues, page.message_id))
        wanted = page.letters(queues, self._now_ms())
        return list(await self._dead_letters.page(wanted, offset=page.offset, limit=page.limit))


def _decided(message: OneMessage, count: int) -> msgspec.Raw:
    """Answer as iii does: the count of a discard is called `redriven`, too."""
    return payload.encode({"queue": message.given, "message_id": message.message_id, "redriven": count})
