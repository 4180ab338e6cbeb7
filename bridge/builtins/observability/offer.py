"""How the functions of this package are offered."""

from bridge.engine.engine import Engine
from bridge.engine.functions import BuiltinHandler, FunctionSchema

__all__ = ["OWNER_NAME", "offer"]

OWNER_NAME = "iii-observability"


def offer(engine: Engine, function_id: str, handler: BuiltinHandler, description: str) -> None:
    """Offer one function."""
    engine.add_builtin(
        function_id, handler, owner_name=OWNER_NAME, schema=FunctionSchema(description=description)
    )
