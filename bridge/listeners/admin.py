"""The admin port, by default 9464: `/healthz`, `/readyz` and `/metrics` for those who run the bridge."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec
import structlog

from bridge.entrance import CHALLENGE, OPEN_ENTRANCE, UNAUTHORIZED, Entrance
from bridge.errors import ConfigError

__all__ = ["AdminServer", "Checks"]

log = structlog.get_logger("bridge.admin")

Checks = Mapping[str, str | None]
"""What a ready bridge needs, by name, and why it is missing; `None` where it is there."""

_HEAD_LIMIT_BYTES = 16 * 1024
_HEAD_TIMEOUT_S = 5
_MOST_CONNECTIONS = 64
"""More of them are hung up on at once: nobody who means well needs so many."""
_METRICS_PATH = "/metrics"
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes = b""
    content_type: str = "application/json"
    extra_head: str = ""

    def encode(self, *, has_body: bool) -> bytes:
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n"
            f"content-type: {self.content_type}\r\n"
            f"content-length: {len(self.body)}\r\n"
            "cache-control: no-store\r\n"
            f"{self.extra_head}"
            "connection: close\r\n\r\n"
        )
        return head.encode() + (self.body if has_body else b"")


class AdminServer:
    """Answers GET and HEAD, one request per connection.

    `/healthz` is 200 as long as the event loop runs. `/readyz` is 200 when every check passes, else 503; both
    times the body says what each check found. Both are for everyone who reaches the port, as the probes of an
    orchestrator send no token; `/metrics` demands one if the entrance does.

    Args:
        check: Looks at what a ready bridge needs.
        render_metrics: Gives the metrics in Prometheus' text format.
        entrance: How clients get in.
    """

    def __init__(
        self,
        check: Callable[[], Awaitable[Checks]],
        render_metrics: Callable[[], Awaitable[bytes]],
        entrance: Entrance = OPEN_ENTRANCE,
    ) -> None:
        self._entrance = entrance
        self._check = check
        self._render_metrics = render_metrics
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Begin to answer.

        Returns:
            The port, which differs from the one asked for when that was 0.

        Raises:
            ConfigError: The address cannot be bound.
        """
        try:
            self._server = await asyncio.start_server(
                self._serve,
                host,
                port,
                limit=_HEAD_LIMIT_BYTES,
                ssl=self._entrance.tls,
                ssl_handshake_timeout=_HEAD_TIMEOUT_S if self._entrance.tls else None,
            )
        except OSError as exc:
            raise ConfigError(
                f"iii-temporal.admin.port: {host}:{port} is in use or cannot be bound ({exc.strerror}). Stop "
                "what listens there, or choose another port; 0 lets the system choose one."
            ) from exc
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop to answer. Closing again does nothing."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _MOST_CONNECTIONS:
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
            log.debug("admin client dropped", reason=str(exc))
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = start.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        answer = await self._route(
            method, path, [value for name, value in map(_header, lines) if name == "authorization"]
        )
        writer.write(answer.encode(has_body=method != "HEAD"))
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            await writer.drain()

    async def _route(self, method: str, path: str, authorization: Sequence[str]) -> _Answer:
        routes = {"/healthz": self._healthz, "/readyz": self._readyz, _METRICS_PATH: self._metrics}
        route = routes.get(path)
        if route is None:
            return _json(HTTPStatus.NOT_FOUND, {"error": f"there are {', '.join(routes)}"})
        if method not in ("GET", "HEAD"):
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "GET and HEAD only"})
        if path == _METRICS_PATH and not self._entrance.admits(authorization):
            return replace(
                _json(HTTPStatus.UNAUTHORIZED, {"error": UNAUTHORIZED}),
                extra_head=f"{CHALLENGE[0].lower()}: {CHALLENGE[1]}\r\n",
            )
        return await route()

    async def _healthz(self) -> _Answer:
        return _json(HTTPStatus.OK, {"status": "healthy"})

    async def _readyz(self) -> _Answer:
        checks = await self._check()
        is_ready = not any(checks.values())
        found = {name: reason or "ok" for name, reason in checks.items()}
        return _json(
            HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
            {"status": "ready" if is_ready else "not ready", "checks": found},
        )

    async def _metrics(self) -> _Answer:
        return _Answer(HTTPStatus.OK, await self._render_metrics(), _METRICS_TYPE)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def _json(status: HTTPStatus, body: object) -> _Answer:
    return _Answer(status, msgspec.json.encode(body))
