"""What the reply of a function behind a URL means (spec 04 §7.3)."""

from http import HTTPStatus

import msgspec

from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["result_of"]

SUCCESS = range(200, 300)
FIRST_ERROR = 400

HTTP_ERROR = "http_error"


class _ErrorReply(msgspec.Struct, frozen=True):
    error: msgspec.Raw = payload.ABSENT


_any_json = msgspec.json.Decoder(msgspec.Raw)
_error_reply = msgspec.json.Decoder(_ErrorReply)


def result_of(status: int, body: bytes) -> msgspec.Raw:
    """Translate a reply into a result.

    Raises:
        FunctionFailedError: The reply is an error, or a success that is not JSON.
    """
    value = _json(body)
    if status >= FIRST_ERROR:
        raise _failure(status, value)
    if value is not None:
        return value
    if status in SUCCESS and body:
        raise FunctionFailedError(
            "invalid_response", f"The reply with status {status} is not JSON; answer with JSON or nothing"
        )
    return payload.ABSENT


def _failure(status: int, value: msgspec.Raw | None) -> FunctionFailedError:
    reply = _error_reply.decode(value) if value is not None and payload.is_object(value) else _ErrorReply()
    if reply.error == payload.ABSENT:
        reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        return FunctionFailedError(HTTP_ERROR, f"HTTP {status} {reason}".rstrip())
    given = msgspec.json.decode(reply.error)
    fields = given if isinstance(given, dict) else {}
    code, message = fields.get("code"), fields.get("message")
    return FunctionFailedError(
        code if isinstance(code, str) else HTTP_ERROR,
        message if isinstance(message, str) else "HTTP request failed",
    )


def _json(body: bytes) -> msgspec.Raw | None:
    try:
        body.decode()
        return _any_json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
