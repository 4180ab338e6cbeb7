"""One client connection: uvicorn's, with bounds on what a hostile client can make it hold."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bridge.builtins.http.client import Client
from bridge.builtins.http.response import error_response
from bridge.builtins.http.write_watch import WriteWatch

__all__ = ["Connection", "ConnectionLimits", "Connections"]

MAX_LINGERING_REFUSALS = 64
"""How many connections beyond the limit get the time to read why; more are closed at once."""

MAX_PIPELINED = 100
"""How many requests a client may send ahead of their responses; with more it is hung up on."""

# Functions may answer with any status up to 999 (spec 04 §3.2); uvicorn knows those up to 599.
STATUS_LINE.update({status: b"HTTP/1.1 %d \r\n" % status for status in range(600, 1000)})


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of the connections.

    Attributes:
        head_bytes: The largest request line with all headers.
        head_timeout_s: How long they may take to arrive.
        max_connections: How many connections may be open.
        write_timeout_s: How long a client for which bytes wait may read nothing.
        linger_s: How long a client that was answered early may go on sending, which is dropped. Hanging up
            at once would make the client's system throw the answer away.
    """

    head_bytes: int
    head_timeout_s: float
    max_connections: int
    write_timeout_s: float
    linger_s: float = 30


class Connections(ServerState):
    """The open connections of a listener, and those that it refused and that are about to close."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[Connection] = set()


@dataclass(frozen=True, slots=True)
class _ResponseTransport:
    """What uvicorn sends a response to. Closing it is left to the connection, which knows the request."""

    write: Callable[[bytes], None]
    is_closing: Callable[[], bool]
    close: Callable[[], None]


class Connection(HttpToolsProtocol):
    """Speaks HTTP/1.1 with one client.

    Args:
        config: What uvicorn needs to know.
        all_connections: What it is one of.
        limits: Bounds of this connection.
        on_lost: Called when it is over.
    """

    def __init__(
        self,
        config: Config,
        all_connections: Connections,
        limits: ConnectionLimits,
        on_lost: Callable[[], None],
    ) -> None:
        self._client = Client()
        super().__init__(config=config, server_state=all_connections, app_state={"client": self._client})
        self._refused = all_connections.refused
        self._limits = limits
        self._on_lost = on_lost
        self._reads_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._is_half_closed = False
        self._is_refused = False
        self._write_watch: WriteWatch | None = None
        self._response_transport: _ResponseTransport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        self._write_watch = WriteWatch(self.loop, transport, self._limits.write_timeout_s)
        self._response_transport = _ResponseTransport(transport.write, transport.is_closing, self._hang_up)
        if len(self.connections) > self._limits.max_connections:
            self._refuse_connection()
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application that the client is gone."""
        self._stop_head_timer()
        self._stop_lingering()
        if self._write_watch is not None:
            self._write_watch.stop()
        self._refused.discard(self)
        super().connection_lost(exc)
        self._client.leave()
        self._on_lost()

    def pause_writing(self) -> None:
        """Let the response wait for the client, but not for ever."""
        super().pause_writing()
        if self._write_watch is not None:
            self._write_watch.start()

    def resume_writing(self) -> None:
        """Go on: the client has read enough."""
        super().resume_writing()
        if self._write_watch is not None:
            self._write_watch.stop()

    def timeout_keep_alive_handler(self) -> None:
        """Hang up on an idle client, which may still have to read the end of its response."""
        super().timeout_keep_alive_handler()
        self._watch_the_end()

    def data_received(self, data: bytes) -> None:
        """Parse what came, as long as the head stays within its bound."""
        if self._is_refused:
            return
        if not self._reads_head:
            super().data_received(data)
            return
        if self._head_timer is None:
            self._start_head_timer()
        room_bytes = self._limits.head_bytes - self._head_bytes
        piece, rest = data[:room_bytes], data[room_bytes:]
        self._head_bytes += len(piece)
        super().data_received(piece)
        if self._head_bytes >= self._limits.head_bytes:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
                f"The request line and headers exceed {self._limits.head_bytes} bytes",
            )
        elif rest:
            self.data_received(rest)

    def on_headers_complete(self) -> None:
        """Begin the request, or put it in line."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._is_refused = True
            self.transport.close()
            return
        self._reads_head = False
        self._head_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()
        self.cycle.transport = cast(asyncio.Transport, self._response_transport)

    def on_message_complete(self) -> None:
        """Expect the head of the next request."""
        self._reads_head = True
        self._stop_lingering()
        super().on_message_complete()
        if self._is_half_closed:
            self.transport.close()
        elif not self.pipeline:
            # Only a transport that is read tells that its client left. With requests in line it is not read:
            # they would pile up.
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Drop what is left of the request, for a while."""
        if not self._reads_head and self.cycle.response_complete:
            self._linger()
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_the_end()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", msg)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_timeout_s, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request did not arrive in time")

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer and hang up; in the middle of a response, only hang up."""
        self._stop_head_timer()
        cycle: RequestResponseCycle | None = self.cycle
        if self._is_half_closed:
            self.transport.close()
        elif cycle is None or cycle.response_complete or not cycle.response_started:
            body = error_response(status, code, message).body
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self._is_refused = True
            self._half_close()
        else:
            self.transport.close()

    def _refuse_connection(self) -> None:
        self.connections.discard(self)
        self._refused.add(self)
        self._refuse(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "TOO_MANY_CONNECTIONS",
            f"There are {self._limits.max_connections} connections already; try again later",
        )
        if len(self._refused) > MAX_LINGERING_REFUSALS:
            self.transport.close()

    def _hang_up(self) -> None:
        """Close the connection after its last response, but not while the client still sends its request."""
        if self._reads_head:
            self.transport.close()
        else:
            self._half_close()

    def _half_close(self) -> None:
        if not self._is_half_closed and not self.transport.is_closing():
            self._is_half_closed = True
            if self.transport.can_write_eof():  # TLS knows no half-closed connections
                self.transport.write_eof()
            self._linger()

    def _watch_the_end(self) -> None:
        """Bound how long a transport that is being closed waits for the client to read."""
        if self._write_watch is not None and self.transport.get_write_buffer_size():
            self._write_watch.start()

    def _linger(self) -> None:
        if self._linger_timer is None:
            self._linger_timer = self.loop.call_later(self._limits.linger_s, self._stop_waiting)

    def _stop_waiting(self) -> None:
        self._linger_timer = None
        self.transport.close()
        self._watch_the_end()

    def _stop_lingering(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
