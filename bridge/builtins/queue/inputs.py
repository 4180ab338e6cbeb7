"""What the functions on queues take (spec 02 §6.2), and the keys that are ours."""

from typing import Annotated, Any

import msgspec

from bridge.engine.calls import Call
from bridge.engine.engine import decode_input
from bridge.engine.functions import FunctionSchema
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.payload import is_object
from workflows.contract import LetterFilter

__all__ = [
    "BulkInput",
    "Details",
    "Name",
    "OneMessage",
    "OperationInput",
    "Page",
    "read_bulk",
    "read_message",
    "read_name",
    "read_operation",
    "read_page",
    "schema_of",
    "wants_details",
]

_INTERNAL_PREFIX = "__fn_queue::"

Count = Annotated[int, msgspec.Meta(ge=0)]


class Name(msgspec.Struct, frozen=True):
    """A queue; iii takes either key wherever it takes one, and exactly one of them."""

    queue: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        if (self.queue is None) == (self.topic is None):
            raise ValueError("give `queue` or `topic`, one of them")

    @property
    def given(self) -> str:
        """The name as it was given."""
        return self.queue or self.topic or ""

    @property
    def name(self) -> str:
        """The name without iii's internal prefix."""
        return self.given.removeprefix(_INTERNAL_PREFIX)


class OneMessage(Name, frozen=True, kw_only=True):
    """One message of a queue."""

    message_id: str


class _Filtered(Name, frozen=True, kw_only=True):
    """Some dead letters of a queue; every key but the name is ours."""

    function_id: str | None = None
    error: str | None = None
    older_than_ms: Count | None = None
    newer_than_ms: Count | None = None

    def letters(self, queues: tuple[str, ...], now_ms: int) -> LetterFilter:
        """Return which dead letters are meant now."""
        return LetterFilter(
            queues=queues,
            function_id=self.function_id,
            error=self.error,
            failed_from_ms=None if self.newer_than_ms is None else now_ms - self.newer_than_ms,
            failed_until_ms=None if self.older_than_ms is None else now_ms - self.older_than_ms,
        )


class Page(_Filtered, frozen=True, kw_only=True):
    """A part of a list.

    Attributes:
        message_id: Only this message; ours.
        details: Whether to tell everything about each dead letter; ours.
    """

    offset: Count = 0
    limit: Count = 50
    message_id: str | None = None
    details: bool = False


class BulkInput(_Filtered, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of many dead letters. A key that is not known is an error: it could be a filter misspelt.

    Attributes:
        dry_run: Only count.
        rate_per_s: How many per second at most.
        limit: How many at most, the oldest.
        wait: Whether to wait for the end, as long as callers wait for an answer.
        caller: What the bridge adds to every object.
    """

    dry_run: bool = False
    rate_per_s: Annotated[float, msgspec.Meta(ge=0.001, le=100_000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    wait: bool = True
    caller: Any = msgspec.field(default=None, name="_caller_worker_id")

    @property
    def is_plain(self) -> bool:
        """Whether it says no more than iii's own function takes."""
        return self == BulkInput(queue=self.queue, topic=self.topic, caller=self.caller)


class Details(msgspec.Struct, frozen=True):
    """How much a list of queues tells; ours."""

    details: bool = False


class OperationInput(msgspec.Struct, frozen=True):
    """A bulk operation."""

    operation_id: str


_name_decoder = msgspec.json.Decoder(Name)
_message_decoder = msgspec.json.Decoder(OneMessage)
_page_decoder = msgspec.json.Decoder(Page)
_bulk_decoder = msgspec.json.Decoder(BulkInput)
_details_decoder = msgspec.json.Decoder(Details)
_operation_decoder = msgspec.json.Decoder(OperationInput)


def schema_of(shape: type[msgspec.Struct], description: str) -> FunctionSchema:
    """Return what introspection shows of a function that takes a shape."""
    schema = msgspec.json.schema(shape)["$defs"][shape.__name__]
    known = {key: value for key, value in schema["properties"].items() if not key.startswith("_")}
    request = {"type": "object", "properties": known, "required": schema["required"]}
    return FunctionSchema(description=description, request_format=payload.encode(request))


def read_name(call: Call) -> Name:
    """Read the name of a topic or queue.

    Raises:
        BridgeError: There is none.
    """
    return _named(decode_input(call, _name_decoder))


def read_page(call: Call) -> Page:
    """Read which part of a list is asked for.

    Raises:
        BridgeError: It makes no sense.
    """
    page = decode_input(call, _page_decoder)
    _named(page)
    return page


def read_message(call: Call) -> OneMessage:
    """Read which message is meant.

    Raises:
        BridgeError: It makes no sense.
    """
    message = decode_input(call, _message_decoder)
    _queue_named(message)
    if not message.message_id:
        raise FunctionFailedError("message_id_not_set", "Message ID is required")
    return message


def read_bulk(call: Call) -> BulkInput:
    """Read what becomes of which dead letters.

    Raises:
        BridgeError: It makes no sense.
    """
    bulk = decode_input(call, _bulk_decoder)
    _queue_named(bulk)
    return bulk


def wants_details(call: Call) -> bool:
    """Tell whether a list is to tell what is ours, too; iii's takes any input.

    Raises:
        BridgeError: The key makes no sense.
    """
    return is_object(call.data) and decode_input(call, _details_decoder).details


def read_operation(call: Call) -> str:
    """Read the id of a bulk operation.

    Raises:
        BridgeError: There is none.
    """
    return decode_input(call, _operation_decoder).operation_id


def _named(name: Name) -> Name:
    if not name.name:
        raise FunctionFailedError("topic_required", "topic is required")
    return name


def _queue_named(name: Name) -> None:
    if not name.name:
        raise FunctionFailedError("queue_not_set", "Queue name is required")
