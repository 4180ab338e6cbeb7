"""One routed request, from its match to the end of its response (spec 04 §3.1, §4.1)."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import msgspec
import structlog

from bridge.builtins.http import request, response
from bridge.builtins.http.body import RequestBody
from bridge.builtins.http.client import ClientGoneError
from bridge.builtins.http.middleware import verdict
from bridge.builtins.http.ports import Channel, Channels
from bridge.builtins.http.request import RequestHead
from bridge.builtins.http.responder import Responder
from bridge.builtins.http.response import Response, StreamedHead, error_response
from bridge.builtins.http.routes import Match, Route
from bridge.builtins.http.settings import HttpSettings
from bridge.builtins.http.slots import Slots
from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine
from bridge.engine.observation import OnAnswered, RequestStart, all_of
from bridge.engine.tracing import continue_trace
from bridge.errors import CapacityError, EngineError
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody

__all__ = ["Exchange", "Services"]

log = structlog.get_logger("bridge.http")

End = TypeVar("End")

CHANNEL_MESSAGES = 64
FIRST_FINAL_STATUS = 200

_TIMED_OUT = Response(HTTPStatus.GATEWAY_TIMEOUT)
_NO_INTERIM_STATUS = (
    "The function chose an interim status, which cannot end a response; choose one from 200 to 999"
)


@dataclass(frozen=True, slots=True)
class Services:
    """What an exchange works with.

    Attributes:
        engine: Runs the functions.
        channels: Makes the two channels of each request.
        now_ns: Unix time.
    """

    engine: Engine
    channels: Channels
    now_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Streamed:
    head: StreamedHead
    first: bytes | None


class Exchange:
    """Runs middleware, condition and handler of one request and sends what they decide.

    The time limit covers everything up to the head of the response. Nothing cancels a function: when the
    time is over or the client leaves, the function goes on and what it answers is dropped.

    Args:
        services: What it works with.
        settings: As they were when the request came.
        route: The route the request took.
        match: The values of the route's parameters.
        head: The request.
        body: Its body.
        responder: Sends the response.
    """

    def __init__(
        self,
        *,
        services: Services,
        settings: HttpSettings,
        route: Route,
        match: Match,
        head: RequestHead,
        body: RequestBody,
        responder: Responder,
    ) -> None:
        self._engine = services.engine
        self._channels = services.channels
        self._now_ns = services.now_ns
        self._settings = settings
        self._route = route
        self._params = match.params(route)
        self._head = head
        self._traceparent = continue_trace(head.traceparent, services.engine.new_id())
        self._body = body
        self._responder = responder
        self._upload = self._create_channel()
        self._download = self._create_channel()
        self._to_handler = _free(self._upload.take_writer())
        self._from_handler = _free(self._download.take_reader())
        self._outcome: Outcome | None = None
        self._feeding: asyncio.Task[None] | None = None

    async def run(self, slots: Slots) -> None:
        """Serve the request; it holds a slot until the head of its response is known.

        Cancellation: safe; functions that run go on.
        """
        answered, status = self._observe(), None
        try:
            async with asyncio.TaskGroup() as tasks:
                async with slots:
                    answer = await self._answer_in_time(tasks)
                status = answer.status if isinstance(answer, Response) else answer.head.status
                self._unlist_channels()
                await self._send(answer)
                if self._feeding is not None:
                    self._feeding.cancel()
        finally:
            self._unlist_channels()
            self._from_handler.close()
            self._to_handler.close()
            answered(status)

    def _observe(self) -> OnAnswered:
        start = RequestStart(
            function_id=self._route.binding.function_id,
            method=self._head.method,
            route=self._route.api_path,
            path=self._head.raw_path,
            parent=self._head.traceparent,
            traceparent=self._traceparent,
        )
        return all_of(each.request_started(start) for each in self._engine.observers)

    async def _answer_in_time(self, tasks: asyncio.TaskGroup) -> Response | _Streamed:
        try:
            async with asyncio.timeout(self._settings.default_timeout_ms / 1000):
                return await self._answer(tasks)
        except TimeoutError:
            if self._head.is_json and not self._body.is_complete:
                return error_response(
                    HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request body did not arrive in time"
                )
            return _TIMED_OUT
        except CapacityError as exc:
            return error_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PAYLOAD_TOO_LARGE", str(exc))

    async def _answer(self, tasks: asyncio.TaskGroup) -> Response | _Streamed:
        """Ask in the order of spec 04 §4.1 until somebody answers."""
        if answer := await self._ask_middleware(self._settings.global_middleware_ids):
            return answer
        body = await self._take_body(tasks)
        if answer := await self._ask_condition(body):
            return answer
        if answer := await self._ask_middleware(self._route.middleware_function_ids):
            return answer
        return await self._ask_handler(body)

    async def _take_body(self, tasks: asyncio.TaskGroup) -> msgspec.Raw:
        """Read a JSON body whole; let any other flow to the handler while it runs (spec 04 §2.1)."""
        if self._head.is_json:
            raw = await self._body.read()
            self._to_handler.load(request.frames(raw))
            self._to_handler.close()
            return request.json_body(raw)
        if self._body.is_complete:
            self._to_handler.close()
        else:
            self._feeding = tasks.create_task(self._feed_handler(), name="http request body")
        return payload.NULL

    async def _feed_handler(self) -> None:
        """Pass the body on; once the handler does not read it, what still comes is dropped."""
        is_read = True
        with suppress(ClientGoneError):  # the handler sees the end, and the exchange itself is stopped
            async for chunk in self._body.chunks():
                for frame in request.frames(chunk):
                    is_read = is_read and await self._to_handler.put(frame)
        self._to_handler.close()

    async def _ask_middleware(self, function_ids: Iterable[str]) -> Response | None:
        for function_id in function_ids:
            outcome = await self._call(function_id, request.middleware_input(self._head, self._params))
            if outcome.error is not None:
                return self._failed(outcome.error)
            if answer := verdict(function_id, outcome.result):
                return answer
        return None

    async def _ask_condition(self, body: msgspec.Raw) -> Response | None:
        function_id = self._route.condition_function_id
        if function_id is None:
            return None
        outcome = await self._call(
            function_id, request.request_object(self._head, self._route, self._params, body)
        )
        if outcome.error is not None:
            return self._failed(outcome.error)
        if outcome.result == msgspec.Raw(b"false"):
            return error_response(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "CONDITION_NOT_MET",
                "Request condition not met",
                skipped=True,
            )
        return None

    async def _ask_handler(self, body: msgspec.Raw) -> Response | _Streamed:
        """Call the handler and wait for the first decisive event of spec 04 §3.1; the channel goes first."""
        self._start_handler(body)
        head = StreamedHead()
        while True:
            await self._from_handler.wait()
            if self._from_handler.is_ready:
                received = await self._from_handler.get()
                if not isinstance(received, str):
                    return self._streamed(head, received)
                head.apply(received)
            elif self._outcome is not None:
                if answer := self._buffered(self._outcome):
                    return answer
                self._outcome = None

    def _start_handler(self, body: msgspec.Raw) -> None:
        binding = self._route.binding
        data = request.request_object(
            self._head,
            self._route,
            self._params,
            body,
            request_body=self._upload.ref("read"),
            response=self._download.ref("write"),
        )
        self._engine.start(
            Call(
                binding.function_id,
                data,
                namespace=binding.namespace,
                metadata=binding.metadata,
                traceparent=self._traceparent,
                baggage=self._head.baggage,
            ),
            self._handler_ended,
        )

    def _handler_ended(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._from_handler.wake()

    async def _call(self, function_id: str, data: msgspec.Raw) -> Outcome:
        return await self._engine.invoke(
            Call(
                function_id,
                data,
                namespace=self._route.binding.namespace,
                traceparent=self._traceparent,
                baggage=self._head.baggage,
            )
        )

    def _buffered(self, outcome: Outcome) -> Response | None:
        """Translate what the handler returned; nothing means that it answers through the channel."""
        if outcome.error is not None:
            return self._failed(outcome.error)
        if not payload.is_present(outcome.result):
            return None
        answer = response.from_result(outcome.result)
        return self._interim_refused() if answer.status < FIRST_FINAL_STATUS else answer

    def _streamed(self, head: StreamedHead, first: bytes | None) -> Response | _Streamed:
        return self._interim_refused() if head.status < FIRST_FINAL_STATUS else _Streamed(head, first)

    def _failed(self, error: ErrorBody) -> Response:
        return response.failed(error, response.error_id(self._now_ns()))

    def _interim_refused(self) -> Response:
        return error_response(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            _NO_INTERIM_STATUS,
            error_id=response.error_id(self._now_ns()),
        )

    async def _send(self, answer: Response | _Streamed) -> None:
        if isinstance(answer, Response):
            await self._responder.respond(answer, with_cors=answer is not _TIMED_OUT)
            return
        await self._responder.start_stream(answer.head.status, answer.head.headers)
        chunk: str | bytes | None = answer.first
        while chunk is not None:
            if isinstance(chunk, bytes):
                await self._responder.write(chunk)
            chunk = await self._from_handler.get()
        if not await self._responder.finish():
            log.warning(
                "response cut short: the function sent less than the content-length it declared",
                function_id=self._route.binding.function_id,
            )

    def _create_channel(self) -> Channel:
        return self._channels.create(
            max_messages=CHANNEL_MESSAGES, max_bytes=self._settings.channel_bytes, held=True
        )

    def _unlist_channels(self) -> None:
        """Let no further socket attach (spec 04 §3.1); those that are attached stay."""
        self._channels.remove(self._upload.id)
        self._channels.remove(self._download.id)


def _free(end: End | None) -> End:
    if end is None:
        raise EngineError("an end of a new channel was taken; this is a bug of the bridge")
    return end
