"""What iii's console asks about queues, for those who serve its pages without it (spec 02 §7)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from bridge.builtins.queue.functions import OWNER_NAME
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import BuiltinHandler, FunctionSchema
from bridge.engine.triggers import Binding
from bridge.protocol import payload

__all__ = ["ConsoleFunctions"]

_READ_S = 5
_DECISION_S = 30


class _Body(msgspec.Struct, frozen=True):
    """The body of a request; what is absent keeps the console's own default."""

    data: msgspec.Raw = msgspec.Raw(b"{}")
    offset: msgspec.Raw = msgspec.Raw(b"0")
    limit: msgspec.Raw = msgspec.Raw(b"50")


class _HttpRequest(msgspec.Struct, frozen=True):
    """The request object of an HTTP trigger (spec 04 §2), as far as it matters here."""

    path_params: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def topic(self) -> str:
        return self.path_params.get("topic", "")

    @property
    def message(self) -> dict[str, Any]:
        return {"queue": self.topic, "message_id": self.path_params.get("id", "")}

    @property
    def given(self) -> _Body:
        return msgspec.json.decode(self.body, type=_Body) if payload.is_object(self.body) else _Body()


@dataclass(frozen=True, slots=True)
class _Proxy:
    """One function of the console.

    Attributes:
        name: After `engine::console::`.
        path: After `_console/`.
        target: The function that it calls.
        asks: Makes its payload.
        answers: Makes the body from its result; `None` passes the result on.
    """

    name: str
    method: str
    path: str
    target: str
    asks: Callable[[_HttpRequest], dict[str, Any]]
    answers: Callable[[_HttpRequest, msgspec.Raw], dict[str, Any]] | None = None
    timeout_s: int = _READ_S


_PROXIES = (
    _Proxy(
        "queues_list",
        "GET",
        "queues",
        "engine::queue::list_topics",
        asks=lambda _: {},
        answers=lambda _, result: {"queues": result},
    ),
    _Proxy(
        "queue_detail",
        "GET",
        "queues/:topic",
        "engine::queue::topic_stats",
        asks=lambda request: {"topic": request.topic},
        answers=lambda request, result: {"topic": request.topic, "stats": result},
    ),
    _Proxy(
        "queue_publish",
        "POST",
        "queues/:topic/publish",
        "iii::durable::publish",
        asks=lambda request: {"topic": request.topic, "data": request.given.data},
        answers=lambda request, _: {"message": "Message published", "topic": request.topic},
    ),
    _Proxy(
        "dlq_list",
        "GET",
        "dlq",
        "engine::queue::dlq_topics",
        asks=lambda _: {},
        answers=lambda _, result: {"topics": result},
    ),
    _Proxy(
        "dlq_messages",
        "POST",
        "dlq/:topic/messages",
        "engine::queue::dlq_messages",
        asks=lambda request: {
            "topic": request.topic,
            "offset": request.given.offset,
            "limit": request.given.limit,
        },
        answers=lambda request, result: {"topic": request.topic, "messages": result},
    ),
    _Proxy(
        "dlq_redrive",
        "POST",
        "dlq/:topic/redrive",
        "iii::queue::redrive",
        asks=lambda request: {"queue": request.topic},
        timeout_s=_DECISION_S,
    ),
    _Proxy(
        "dlq_redrive_message",
        "POST",
        "dlq/:topic/messages/:id/redrive",
        "iii::queue::redrive_message",
        asks=lambda request: request.message,
        timeout_s=_DECISION_S,
    ),
    _Proxy(
        "dlq_discard_message",
        "DELETE",
        "dlq/:topic/messages/:id/discard",
        "iii::queue::discard_message",
        asks=lambda request: request.message,
        timeout_s=_DECISION_S,
    ),
)
_decoder = msgspec.json.Decoder(_HttpRequest)


class ConsoleFunctions:
    """The console's functions on queues; a console that connects covers them with its own.

    Args:
        has_routes: Whether HTTP serves them, too, to everybody who reaches its port.
    """

    def __init__(self, *, has_routes: bool) -> None:
        self._has_routes = has_routes

    def register(self, engine: Engine) -> None:
        """Offer the functions, and bind their routes if there are to be any."""
        for proxy in _PROXIES:
            function_id = f"engine::console::{proxy.name}"
            engine.add_builtin(
                function_id,
                _handler(engine, proxy),
                owner_name=OWNER_NAME,
                schema=FunctionSchema(description=f"{proxy.target} as an HTTP response"),
            )
            if self._has_routes:
                config = payload.encode({"api_path": f"_console/{proxy.path}", "http_method": proxy.method})
                engine.triggers.bind(Binding(function_id, "http", function_id, config))


def _handler(engine: Engine, proxy: _Proxy) -> BuiltinHandler:
    async def handle(call: Call) -> msgspec.Raw:
        request = decode_input(call, _decoder)
        asked = Call(
            proxy.target,
            payload.encode(proxy.asks(request)),
            traceparent=call.traceparent,
            baggage=call.baggage,
        )
        try:
            async with asyncio.timeout(proxy.timeout_s):
                outcome = await engine.invoke(asked)
        except TimeoutError:
            text = f"{proxy.target} did not answer within {proxy.timeout_s} s"
            return _response(HTTPStatus.GATEWAY_TIMEOUT, {"error": text})
        if (error := outcome.error) is not None:
            text = f"Remote error ({error.code}): {error.message}"
            return _response(HTTPStatus.BAD_GATEWAY, {"error": text})
        result = outcome.result if payload.is_present(outcome.result) else payload.NULL
        return _response(HTTPStatus.OK, proxy.answers(request, result) if proxy.answers else result)

    return handle


def _response(status: HTTPStatus, body: Any) -> msgspec.Raw:
    return payload.encode({"status_code": int(status), "headers": [], "body": body})
