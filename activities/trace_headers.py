"""The trace that a workflow's own tracing put into the headers of an activity."""

from contextvars import ContextVar
from typing import Any

import msgspec
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

__all__ = ["TraceHeaders", "trace_of_activity"]

_HEADER = "_tracer-data"
"""Where the OpenTelemetry interceptors of Temporal's SDKs put W3C trace context."""

_carrier = msgspec.json.Decoder(dict[str, str])
_found: ContextVar[dict[str, str] | None] = ContextVar("trace_of_activity", default=None)


def trace_of_activity() -> dict[str, str]:
    """Return what the headers of the running activity say, by W3C header name."""
    return _found.get() or {}


class TraceHeaders(Interceptor):
    """Keeps the trace headers of each activity where `trace_of_activity` finds them."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Look at every activity before it runs."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        header = input.headers.get(_HEADER)
        try:
            _found.set(_carrier.decode(header.data) if header else None)
        except msgspec.MsgspecError:  # in a form of somebody's own; the call gets a trace all the same
            _found.set(None)
        return await super().execute_activity(input)
