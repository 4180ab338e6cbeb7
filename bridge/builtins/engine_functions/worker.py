"""The built-in worker `iii-engine-functions`."""

import time
from collections.abc import Callable

from bridge.builtins.engine_functions.availability import Availability
from bridge.builtins.engine_functions.bindings import OwnerlessBindings
from bridge.builtins.engine_functions.catalog import Catalog
from bridge.builtins.engine_functions.functions import FunctionQueries
from bridge.builtins.engine_functions.registration import WorkerRegistration
from bridge.builtins.engine_functions.triggers import TriggerQueries
from bridge.builtins.engine_functions.workers import WorkerQueries
from bridge.engine.engine import Engine

__all__ = ["EngineFunctions"]


def _unix_time_ms() -> int:
    return time.time_ns() // 1_000_000


class EngineFunctions:
    """Offers the `engine::*` functions and trigger types.

    Args:
        engine: What they tell about.
        version: The version that the bridge's own workers show.
        now_ms: The current Unix time.
        poll_interval_s: How often the set of functions is looked at for `engine::functions-available`.
        answer_timeout_s: How long `engine::register_trigger` waits for a worker's objection.
    """

    def __init__(
        self,
        engine: Engine,
        version: str,
        *,
        now_ms: Callable[[], int] = _unix_time_ms,
        poll_interval_s: float = 5,
        answer_timeout_s: float = 10,
    ) -> None:
        catalog = Catalog(engine)
        self._availability = Availability(engine, catalog, interval_s=poll_interval_s)
        self._groups = (
            WorkerRegistration(engine),
            FunctionQueries(engine, catalog),
            WorkerQueries(engine, catalog, version, now_ms),
            TriggerQueries(engine, catalog),
            OwnerlessBindings(engine, answer_timeout_s=answer_timeout_s),
            self._availability,
        )

    def register(self, engine: Engine) -> None:
        """Offer the functions and trigger types."""
        for group in self._groups:
            group.register(engine)

    async def start(self) -> None:
        """Begin to watch for functions that come and go."""
        self._availability.start()

    async def close(self) -> None:
        """Stop watching."""
        self._availability.stop()
