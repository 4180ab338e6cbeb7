"""`iii-http` (spec 04 §5.1)."""

from collections.abc import Container, Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from bridge.config.block import Bind, Block, EveryKeyBut, FunctionId, Port, PositiveMilliseconds, Unsigned32
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens

__all__ = ["CorsBlock", "HttpBlock", "MiddlewareEntry"]

_MEBIBYTE = 1024 * 1024

UrlPath = Annotated[str, Field(pattern=r"^/[^?#\s]*$", description="a path such as /openapi.json")]
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class CorsBlock(Block):
    """Which browsers' pages may call.

    Attributes:
        allowed_origins: Origins, compared byte for byte; empty or with `*` in it allows any.
        allowed_methods: Methods; empty allows any.
    """

    allowed_origins: Texts = ()
    allowed_methods: Texts = ()


class MiddlewareEntry(Block):
    """A function called before the handler of every request; lower priority first."""

    function_id: FunctionId
    phase: Literal["preHandler"] = "preHandler"
    priority: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] = 0


def _by_priority(entries: tuple[MiddlewareEntry, ...]) -> tuple[MiddlewareEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.priority))


class HttpBlock(Block):
    """The HTTP API.

    Attributes:
        port: TCP port; 0 lets the system choose.
        host: Address to listen on.
        default_timeout_ms: From the request to the head of the response, then 504.
        configured_request_limit: The key as written; use `concurrency_request_limit`.
        cors: `None` is fully permissive, as in iii.
        middleware: Global middleware in the order of execution.
        body_limit_bytes: Ours. The largest JSON body; other bodies are streamed and have no limit.
        head_limit_bytes: Ours. The largest request line with all headers.
        head_timeout_ms: Ours. How long a connection may take to send them.
        write_timeout_ms: Ours. How long a client may read nothing while bytes wait for it.
        keep_alive_timeout_s: Ours. How long an idle connection is kept.
        max_connections: Ours. How many connections may be open; more are answered with 503.
        channel_bytes: Ours. How much of a streamed body, each way, may wait for a slow peer.
        openapi_path: Ours. Where the OpenAPI document is served; `null` for nowhere.
        docs_path: Ours. Where its readable page is served; `null` for nowhere.
        tls: Ours. The encryption of the port; `None` is none.
        tokens: Ours. Bearer tokens, one of which every client must have; none are demanded by default.
    """

    live: ClassVar[Container[str]] = EveryKeyBut("tls", "tokens")
    file_only: ClassVar[frozenset[str]] = frozenset({"tls", "tokens"})

    port: Port = 3111
    host: Bind = "127.0.0.1"
    default_timeout_ms: PositiveMilliseconds = Field(default=30_000, alias="default_timeout")
    configured_request_limit: Unsigned32 = Field(default=1024, alias="concurrency_request_limit")
    cors: CorsBlock | None = None
    middleware: Annotated[tuple[MiddlewareEntry, ...], Field(strict=False), AfterValidator(_by_priority)] = ()

    body_limit_bytes: Annotated[int, Field(ge=1024, le=64 * _MEBIBYTE)] = 16 * _MEBIBYTE
    head_limit_bytes: Annotated[int, Field(ge=1024, le=_MEBIBYTE)] = 64 * 1024
    head_timeout_ms: PositiveMilliseconds = 10_000
    write_timeout_ms: PositiveMilliseconds = 60_000
    keep_alive_timeout_s: Annotated[int, Field(ge=1, le=3600)] = 75
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    channel_bytes: Annotated[int, Field(ge=64 * 1024, le=64 * _MEBIBYTE)] = _MEBIBYTE
    openapi_path: UrlPath | None = "/openapi.json"
    docs_path: UrlPath | None = "/docs"
    tls: ServerTlsBlock | None = None
    tokens: Tokens = ()

    @property
    def concurrency_request_limit(self) -> int:
        """Requests served at once; more of them wait."""
        return max(1, self.configured_request_limit)

    def notices(self) -> Iterator[str]:
        """Tell that no limit of zero exists, and that `*` outweighs the origins beside it."""
        if self.configured_request_limit == 0:
            yield "iii-http: `concurrency_request_limit` 0 means 1; write the number you want"
        if self.cors and "*" in self.cors.allowed_origins and len(self.cors.allowed_origins) > 1:
            yield "iii-http: `*` in `cors.allowed_origins` allows any origin; remove it or the others"
