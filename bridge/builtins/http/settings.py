"""What the HTTP worker can be told (spec 04 §5.1)."""

from dataclasses import dataclass
from functools import cached_property

__all__ = ["CorsSettings", "GlobalMiddleware", "HttpSettings"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """Who may call from a browser.

    Attributes:
        allowed_origins: Origins, compared byte for byte; empty or with `*`, any.
        allowed_methods: Methods a preflight allows; empty, any.
    """

    allowed_origins: tuple[str, ...] = ()
    allowed_methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GlobalMiddleware:
    """A function that is asked before every routed request.

    Attributes:
        phase: Only `preHandler` is ever run.
        priority: Lower ones run first; equal ones in the order of the list.
    """

    function_id: str
    phase: str = "preHandler"
    priority: int = 0


@dataclass(frozen=True)
class HttpSettings:
    """Settings of the HTTP worker. All but the last nine exist in iii.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        default_timeout_ms: How long a request may take until the head of its response.
        concurrency_request_limit: How many requests may be on their way to a response head; more wait.
        cors: `None` allows everything.
        middleware: Asked before every routed request.
        body_limit_bytes: The largest JSON body; it is held in memory, other bodies are streamed.
        head_limit_bytes: The largest request line with all headers.
        head_timeout_ms: How long a connection may take to send them.
        write_timeout_ms: How long a client for which bytes wait may read nothing; then it is cut off.
        keep_alive_timeout_s: How long an idle connection is kept.
        max_connections: How many connections may be open; more are refused.
        channel_bytes: How many bytes of a streamed body, each way, may wait for a slow peer.
        openapi_path: Where the OpenAPI document is served; `None` for nowhere.
        docs_path: Where its readable page is served; `None` for nowhere.
    """

    host: str = "127.0.0.1"
    port: int = 3111
    default_timeout_ms: int = 30_000
    concurrency_request_limit: int = 1024
    cors: CorsSettings | None = None
    middleware: tuple[GlobalMiddleware, ...] = ()
    body_limit_bytes: int = 16 * MIB
    head_limit_bytes: int = 64 * 1024
    head_timeout_ms: int = 10_000
    write_timeout_ms: int = 60_000
    keep_alive_timeout_s: int = 75
    max_connections: int = 10_000
    channel_bytes: int = MIB
    openapi_path: str | None = "/openapi.json"
    docs_path: str | None = "/docs"

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen."""
        return self.host, self.port

    @cached_property
    def global_middleware_ids(self) -> tuple[str, ...]:
        """The global middleware in the order in which it is asked (spec 04 §4.1)."""
        run = [each for each in self.middleware if each.phase == "preHandler"]
        return tuple(each.function_id for each in sorted(run, key=lambda each: each.priority))
