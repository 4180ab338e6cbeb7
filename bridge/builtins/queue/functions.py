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
from bridge.builtins.queue.ports import DeadLetterStore, Letter, Resolver
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
    """Lists and statistics of named queues, and decisions about single dead letters.

    Args:
        dead_letters: Where dead letters are.
        concurrency: The named queues and how many messages of each run at once.
        resolve: Finds the internal queues of a name.
        link: Returns the page of a workflow's run in Temporal's Web UI, if it is known where that is.
        now_ms: Unix time.
        read_queues: Asks about the named queues; raises `BridgeError` when it gets no answer.
        limits: When the dead letters of a queue are too many.
    """

    def __init__(
        self,
        dead_letters: DeadLetterStore,
        concurrency: Mapping[str, int],
        resolve: Resolver,
        *,
        link: Callable[[str, str], str | None],
        now_ms: Callable[[], int],
        read_queues: Callable[[], Awaitable[Sequence[QueueState]]],
        limits: Mapping[str, DeadLetterLimit],
    ) -> None:
        self._dead_letters = dead_letters
        self._concurrency = concurrency
        self._resolve = resolve
        self._link = link
        self._now_ms = now_ms
        self._read_queues = read_queues
        self._limits = limits
        self._in_flight = InFlight()

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        engine.observers.append(self._in_flight)
        any_input = FunctionSchema(description="Count the dead letters of every queue")
        functions: dict[str, tuple[BuiltinHandler, FunctionSchema]] = {
            "iii::queue::redrive_message": (
                self._redrive_message,
                schema_of(OneMessage, "Send one dead letter on its way again"),
            ),
            "iii::queue::discard_message": (
                self._discard_message,
                schema_of(OneMessage, "Let one dead letter go for good"),
            ),
            "engine::queue::list_topics": (self._list_topics, schema_of(Details, "List the named queues")),
            "engine::queue::topic_stats": (
                self._topic_stats,
                schema_of(Name, "Count the messages of a queue"),
            ),
            "engine::queue::dlq_topics": (self._dlq_topics, any_input),
            "engine::queue::dlq_messages": (
                self._dlq_messages,
                schema_of(Page, "List the dead letters of a queue"),
            ),
        }
        for function_id, (handler, schema) in functions.items():
            engine.add_builtin(function_id, handler, owner_name=OWNER_NAME, schema=schema)

    async def _redrive_message(self, call: Call) -> msgspec.Raw:
        message = read_message(call)
        try:
            queues = await self._resolve(message.name)
            count = await self._dead_letters.redrive_message(queues, message.message_id)
        except BridgeError as exc:
            raise FunctionFailedError("redrive_message_failed", str(exc)) from exc
        return _decided(message, count)

    async def _discard_message(self, call: Call) -> msgspec.Raw:
        message = read_message(call)
        try:
            queues = await self._resolve(message.name)
            count = await self._dead_letters.discard_message(queues, message.message_id)
        except BridgeError as exc:
            raise FunctionFailedError("discard_message_failed", str(exc)) from exc
        return _decided(message, count)

    async def _list_topics(self, call: Call) -> msgspec.Raw:
        rows: list[dict[str, Any]] = [
            {"name": name, "broker_type": _BROKER_TYPE, "subscriber_count": concurrency}
            for name, concurrency in self._concurrency.items()
        ]
        if not wants_details(call):
            return payload.encode(rows)
        try:
            states = {state.name: state for state in await self._read_queues()}
        except BridgeError as exc:
            raise FunctionFailedError("list_topics_failed", str(exc)) from exc
        return payload.encode(
            [row | self._state(states[row["name"]]) for row in rows if row["name"] in states]
        )

    def _state(self, state: QueueState) -> dict[str, Any]:
        limit = self._limits.get(state.name)
        return {
            "depth": state.depth,
            "oldest_ms": round(state.oldest_s * 1000),
            "in_flight": self._in_flight.of(state.name),
            "waiting_for_provider": state.waiting,
            "dead_letters": state.dead_letters,
            "dead_letter_capacity": limit.capacity if limit else None,
            "dead_letter_threshold": limit.threshold if limit else None,
        }

    async def _topic_stats(self, call: Call) -> msgspec.Raw:
        name = read_name(call).name
        try:
            queues = tuple(await self._resolve(name))
            depth = await self._dead_letters.depth(queues)
            dlq_depth = await self._dead_letters.count(LetterFilter(queues))
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
            counts = {
                name: await self._dead_letters.count(LetterFilter((name,))) for name in self._concurrency
            }
        except BridgeError as exc:
            raise FunctionFailedError("dlq_topics_failed", str(exc)) from exc
        return payload.encode(
            [
                {"topic": name, "broker_type": _DLQ_BROKER_TYPE, "message_count": count}
                for name, count in counts.items()
            ]
        )

    async def _dlq_messages(self, call: Call) -> msgspec.Raw:
        page = read_page(call)
        try:
            queues = tuple(await self._resolve(page.name))
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
