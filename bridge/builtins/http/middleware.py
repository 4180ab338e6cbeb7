"""What a middleware function decided (spec 04 §4.3)."""

import msgspec
import structlog

from bridge.builtins.http.response import Response, from_middleware
from bridge.protocol import payload

__all__ = ["verdict"]

log = structlog.get_logger("bridge.http")


class _Verdict(msgspec.Struct, frozen=True):
    action: msgspec.Raw = payload.ABSENT
    response: msgspec.Raw = payload.ABSENT


_decoder = msgspec.json.Decoder(_Verdict)


def verdict(function_id: str, result: msgspec.Raw) -> Response | None:
    """Return the response that ends the request, or `None` when it goes on.

    Only an object with the action `respond` ends it; what is not understood is logged and goes on.
    """
    decided = _decoder.decode(result if payload.is_object(result) else b"{}")
    if decided.action == msgspec.Raw(b'"respond"'):
        return from_middleware(decided.response)
    if decided.action != msgspec.Raw(b'"continue"'):
        log.warning(
            'middleware answered neither {"action": "continue"} nor "respond"; the request goes on',
            function_id=function_id,
        )
    return None
