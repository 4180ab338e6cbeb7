"""What the auth function is asked about a client that connects (spec 03 §3.5)."""

import msgspec
import structlog

from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.protocol import payload
from bridge.protocol.payload import NULL

__all__ = ["AuthInput", "context_of"]

log = structlog.get_logger("bridge.stream")


class AuthInput(msgspec.Struct, frozen=True):
    """What the auth function is given.

    Attributes:
        headers: The upgrade request's headers, by lower-case name.
        path: The path of the URL, without its query.
        query_params: The query's values as they came, not percent-decoded.
        addr: The client's address, `host:port`.
    """

    headers: dict[str, str]
    path: str
    query_params: dict[str, list[str]]
    addr: str


class _AuthAnswer(msgspec.Struct, frozen=True):
    context: msgspec.Raw = NULL


_answer_decoder = msgspec.json.Decoder(_AuthAnswer)


async def context_of(engine: Engine, function_id: str, request: AuthInput) -> msgspec.Raw:
    """Ask the auth function who a client is; `null` when it does not say.

    It cannot refuse the connection, as in iii: refusing is what `stream:join` triggers are for.

    Cancellation: safe; the function keeps running.
    """
    outcome = await engine.invoke(Call(function_id, payload.encode(request)))
    if outcome.error is not None:
        log.warning(
            "auth function failed, client connected without context",
            function_id=function_id,
            error=outcome.error.message,
        )
        return NULL
    try:
        return _answer_decoder.decode(outcome.result).context
    except msgspec.MsgspecError:
        return NULL
