"""The built-in worker `iii-engine-functions`."""

import msgspec

from bridge.builtins.engine_functions.registration import register_worker
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import FunctionSchema

__all__ = ["EngineFunctions"]

OWNER_NAME = "iii-engine-functions"


class EngineFunctions:
    """Offers the `engine::*` functions.

    Args:
        engine: What they tell about.
        version: The version that the bridge's own workers show.
    """

    def __init__(self, engine: Engine, version: str) -> None:
        self._engine = engine
        self._version = version

    def register(self, engine: Engine) -> None:
        """Offer the functions and trigger types."""
        engine.add_builtin(
            "engine::workers::register",
            self._register_worker,
            owner_name=OWNER_NAME,
            schema=FunctionSchema("Report what this worker is and in which namespace it registers."),
        )

    async def _register_worker(self, call: Call) -> msgspec.Raw:
        return register_worker(self._engine, call)
