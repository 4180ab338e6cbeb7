"""How the functions of this package are offered: with schemas made from their input and output shapes."""

import msgspec

from bridge.engine.engine import Engine
from bridge.engine.functions import BuiltinHandler, FunctionSchema
from bridge.protocol import payload

__all__ = ["OWNER_NAME", "offer"]

OWNER_NAME = "iii-engine-functions"


def offer(
    engine: Engine,
    function_id: str,
    handler: BuiltinHandler,
    description: str,
    *,
    takes: type[msgspec.Struct],
    returns: type[msgspec.Struct],
) -> None:
    """Offer a function whose payload and result have these shapes."""
    engine.add_builtin(
        function_id,
        handler,
        owner_name=OWNER_NAME,
        schema=FunctionSchema(
            description,
            payload.encode(msgspec.json.schema(takes)),
            payload.encode(msgspec.json.schema(returns)),
        ),
    )
