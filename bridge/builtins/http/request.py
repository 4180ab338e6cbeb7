"""The request object that functions get (spec 04 §2)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bridge.builtins.http.routes import Route
from bridge.engine.tracing import trace_id_of
from bridge.protocol import payload

__all__ = ["RequestHead", "frames", "json_body", "middleware_input", "request_object"]

FRAME_BYTES = 64 * 1024
"""Old Python SDKs lose what is in a larger message (spec 04 §2.1)."""

_PLAIN_VALUE = re.compile(rb"[\x20-\x7e\t]*")
_any_json = msgspec.json.Decoder(msgspec.Raw)


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The request line and headers as functions see them.

    Attributes:
        method: In upper case.
        raw_path: Percent-encoded, as it came.
        query_params: Decoded; of a repeated key the last value.
        headers: By lower-case name; of a repeated header the last value.
    """

    method: str
    raw_path: str
    query_params: Mapping[str, str]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> "RequestHead":
        """Read the head of an ASGI request."""
        query = scope["query_string"].decode("latin-1")
        return cls(
            method=scope["method"],
            raw_path=scope["raw_path"].decode("latin-1"),
            query_params=dict(parse_qsl(query, keep_blank_values=True, errors="replace")),
            headers={
                name.decode("latin-1"): value.decode("ascii") if _PLAIN_VALUE.fullmatch(value) else ""
                for name, value in scope["headers"]
            },
        )

    @property
    def is_json(self) -> bool:
        """Whether the body is to be read as JSON: a case-sensitive test, as in iii."""
        return "application/json" in self.headers.get("content-type", "")

    @property
    def traceparent(self) -> str | None:
        """The trace to continue."""
        given = self.headers.get("traceparent", "")
        return given if trace_id_of(given) else None

    @property
    def baggage(self) -> str | None:
        """The baggage to pass on."""
        return self.headers.get("baggage") or None


class _Trigger(msgspec.Struct, frozen=True):
    type: str
    path: str
    method: str


class _RequestObject(msgspec.Struct, frozen=True):
    query_params: Mapping[str, str]
    path_params: Mapping[str, str]
    headers: Mapping[str, str]
    path: str
    method: str
    body: msgspec.Raw
    trigger: _Trigger
    request_body: object = msgspec.UNSET
    response: object = msgspec.UNSET


def request_object(
    head: RequestHead,
    route: Route,
    path_params: Mapping[str, str],
    body: msgspec.Raw,
    *,
    request_body: object = msgspec.UNSET,
    response: object = msgspec.UNSET,
) -> msgspec.Raw:
    """Build what a handler gets; without the two channel references, what a condition gets.

    Args:
        head: The request.
        route: The route it took.
        path_params: The values of the route's parameters.
        body: The JSON body, or `null`.
        request_body: The reference of the channel that carries the body.
        response: The reference of the channel that takes a streamed response.
    """
    return payload.encode(
        _RequestObject(
            query_params=head.query_params,
            path_params=path_params,
            headers=head.headers,
            path=route.api_path,
            method=head.method,
            body=body,
            trigger=_Trigger("http", route.api_path, head.method),
            request_body=request_body,
            response=response,
        )
    )


def middleware_input(head: RequestHead, path_params: Mapping[str, str]) -> msgspec.Raw:
    """Build what a middleware function gets (spec 04 §4.2)."""
    return payload.encode(
        {
            "phase": "preHandler",
            "request": {
                "path_params": path_params,
                "query_params": head.query_params,
                "headers": head.headers,
                "method": head.method,
            },
            "context": {},
        }
    )


def json_body(raw: bytes) -> msgspec.Raw:
    """Return the body as one checked JSON value, never parsed; `null` when it is none (spec 04 §2.1)."""
    try:
        raw.decode()
        return _any_json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return payload.NULL


def frames(raw: bytes) -> Iterator[bytes]:
    """Cut bytes into messages that every SDK can read."""
    for start in range(0, len(raw), FRAME_BYTES):
        yield raw[start : start + FRAME_BYTES]
