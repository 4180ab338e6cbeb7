"""`iii-http` (spec 04 §5.1)."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bridge.config.block import Bind, Block, FunctionId, Port, PositiveMilliseconds, Unsigned32

__all__ = ["CorsBlock", "HttpBlock", "MiddlewareEntry"]

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
    """

    port: Port = 3111
    host: Bind = "127.0.0.1"
    default_timeout_ms: PositiveMilliseconds = Field(default=30_000, alias="default_timeout")
    configured_request_limit: Unsigned32 = Field(default=1024, alias="concurrency_request_limit")
    cors: CorsBlock | None = None
    middleware: Annotated[tuple[MiddlewareEntry, ...], Field(strict=False), AfterValidator(_by_priority)] = ()

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
