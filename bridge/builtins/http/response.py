"""What functions return or send, as HTTP responses (spec 04 §3)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody

__all__ = [
    "Headers",
    "Response",
    "StreamedHead",
    "error_id",
    "error_response",
    "failed",
    "from_middleware",
    "from_result",
]

Headers = tuple[tuple[bytes, bytes], ...]

JSON_TYPE = (b"content-type", b"application/json")

OK = 200
FIRST_STATUS = 100
LAST_STATUS = 999
LAST_STREAMED_STATUS = 599
SERVER_ERROR = 500

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NATURAL = re.compile(rb"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response. Names in `headers` are in lower case; the length is added when it is sent."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class _Envelope(msgspec.Struct, frozen=True):
    """The only keys of a result that are looked at; `statusCode` is what Python's HttpResponse makes."""

    status_code: msgspec.Raw = payload.ABSENT
    statusCode: msgspec.Raw = payload.ABSENT  # noqa: N815 - the wire's name
    headers: msgspec.Raw = payload.ABSENT
    body: msgspec.Raw = payload.ABSENT


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_text_decoder = msgspec.json.Decoder(str)
_EMPTY_OBJECT = msgspec.Raw(b"{}")


def from_result(result: msgspec.Raw) -> Response:
    """Translate what a handler returned (spec 04 §3.2, §3.3)."""
    envelope = _envelope_decoder.decode(result if payload.is_object(result) else b"{}")
    headers = _header_list(envelope.headers)
    body = _EMPTY_OBJECT if envelope.body == payload.ABSENT else envelope.body
    content_type = next((value for name, value in headers if name == b"content-type"), None)
    status = _status(envelope.status_code or envelope.statusCode)
    if content_type is None:
        return Response(status, (*headers, JSON_TYPE), _compact(body))
    if body == payload.NULL:
        return Response(status, headers)
    return Response(status, headers, _unquoted(body))


def from_middleware(response: msgspec.Raw) -> Response:
    """Translate the `response` of a middleware that answers itself (spec 04 §4.3)."""
    envelope = _envelope_decoder.decode(response if payload.is_object(response) else b"{}")
    body = payload.NULL if envelope.body == payload.ABSENT else envelope.body
    return Response(
        _status(envelope.status_code or envelope.statusCode),
        _replaced((JSON_TYPE,), _string_map(envelope.headers)),
        _compact(body),
    )


def error_response(
    status: int, code: str, message: str, *, error_id: str | None = None, skipped: bool = False
) -> Response:
    """Build the envelope of an error that is the bridge's own (spec 04 §3.5)."""
    error = {"code": code, "message": message}
    if error_id is not None:
        error["error_id"] = error_id
    body: dict[str, Any] = {"error": error}
    if skipped:
        body["skipped"] = True
    return Response(status, (JSON_TYPE,), bytes(payload.encode(body)))


def failed(error: ErrorBody, error_id: str) -> Response:
    """Translate the error of a function; its stack never reaches the client (spec 04 §3.6)."""
    return error_response(SERVER_ERROR, error.code, error.message, error_id=error_id)


def error_id(now_ns: int) -> str:
    """Name an error by the moment it happened: 1 to 12 hexadecimal digits."""
    return f"{now_ns & 0xFFFF_FFFF_FFFF:x}"


@dataclass(slots=True)
class StreamedHead:
    """The head of a streamed response, as the handler's control messages build it up (spec 04 §3.4)."""

    status: int = OK
    _headers: dict[str, str] = field(default_factory=dict)

    def apply(self, message: str) -> None:
        """Take one control message; one that cannot be understood changes nothing."""
        try:
            control = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return
        match control:
            case {"type": "set_status", "status_code": int(status)} if not isinstance(status, bool):
                if FIRST_STATUS <= status <= LAST_STREAMED_STATUS:
                    self.status = status
            case {"type": "set_headers", "headers": dict(headers)}:
                self._headers.update({key: value for key, value in headers.items() if isinstance(value, str)})
            case _:
                pass

    @property
    def headers(self) -> Headers:
        """The headers that can be sent."""
        return _sendable(self._headers.items())


def _status(raw: msgspec.Raw) -> int:
    text = bytes(raw)
    if not _NATURAL.fullmatch(text):
        return OK
    status = int(text)
    return status if FIRST_STATUS <= status <= LAST_STATUS else OK


def _header_list(raw: msgspec.Raw) -> Headers:
    """Read headers in both forms: an object, or a list of `Name: value` (spec 04 §3.2)."""
    given = msgspec.json.decode(raw) if payload.is_present(raw) else None
    if isinstance(given, dict):
        return _sendable((name, value) for name, value in given.items() if isinstance(value, str))
    if isinstance(given, list):
        pairs = (line.partition(":") for line in given if isinstance(line, str) and ":" in line)
        return _sendable((name.strip(), value.strip()) for name, _, value in pairs)
    return ()


def _string_map(raw: msgspec.Raw) -> Headers:
    given = msgspec.json.decode(raw) if payload.is_present(raw) else None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        return ()
    return _sendable(given.items())


def _sendable(headers: Iterable[tuple[str, str]]) -> Headers:
    return tuple(
        (name.lower().encode(), value.encode())
        for name, value in headers
        if _HEADER_NAME.fullmatch(name) and not _FORBIDDEN_IN_VALUE.search(value)
    )


def _replaced(defaults: Headers, headers: Headers) -> Headers:
    merged: Mapping[bytes, bytes] = {**dict(defaults), **dict(headers)}
    return tuple(merged.items())


def _compact(body: msgspec.Raw) -> bytes:
    return msgspec.json.format(bytes(body), indent=-1)


def _unquoted(body: msgspec.Raw) -> bytes:
    """Return a JSON string's text, and anything else as compact JSON."""
    text = bytes(body)
    if text[:1] != b'"':
        return _compact(body)
    return _text_decoder.decode(text).encode()
