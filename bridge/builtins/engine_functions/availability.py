"""The trigger types `engine::workers-available` and `engine::functions-available` (spec 05 §3)."""

import asyncio

import msgspec

from bridge.builtins.engine_functions.catalog import Catalog
from bridge.builtins.engine_functions.offer import OWNER_NAME
from bridge.builtins.engine_functions.rows import FunctionRow
from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding, TriggerType
from bridge.engine.workers import Worker
from bridge.protocol import payload

__all__ = ["Availability"]


class WorkerChanged(msgspec.Struct, frozen=True):
    """A worker came, told about itself, or went."""

    event: str
    worker_id: str


class FunctionsChanged(msgspec.Struct, frozen=True):
    """The set of functions changed; these are on offer now."""

    functions: list[FunctionRow]
    event: str = "functions_changed"


class _Listeners:
    """The bindings of one trigger type. Any configuration is accepted and means nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bindings: dict[str, Binding] = {}

    def bind(self, binding: Binding) -> None:
        """Tell this binding's function from now on."""
        self._bindings[binding.id] = binding

    def unbind(self, binding: Binding) -> None:
        """Tell it no more."""
        self._bindings.pop(binding.id, None)

    def tell(self, event: msgspec.Struct) -> None:
        """Run every bound function with the event; how that ends concerns nobody."""
        data = payload.encode(event)
        for binding in list(self._bindings.values()):
            self._engine.start(
                Call(binding.function_id, data, namespace=binding.namespace, metadata=binding.metadata),
                _ignore,
            )


class Availability:
    """Fires when workers and functions come and go.

    Changes of workers fire at once. Functions are looked at from time to time, so that changes coalesce: the
    event fires when the set differs from the set at the last look.

    Args:
        engine: Whose workers and functions are watched.
        catalog: What describes the functions.
        interval_s: The time between two looks.
    """

    def __init__(self, engine: Engine, catalog: Catalog, *, interval_s: float) -> None:
        self._engine = engine
        self._catalog = catalog
        self._interval_s = interval_s
        self._on_workers = _Listeners(engine)
        self._on_functions = _Listeners(engine)
        self._last_seen: frozenset[tuple[str, str]] = frozenset()
        self._stopped = asyncio.Event()

    def register(self, engine: Engine) -> None:
        """Provide the trigger types."""
        engine.on_worker_event.append(self._worker_changed)
        for type_id, description, listeners, event in (
            ("engine::workers-available", "Fires when workers come and go.", self._on_workers, WorkerChanged),
            (
                "engine::functions-available",
                "Fires when functions come and go.",
                self._on_functions,
                FunctionsChanged,
            ),
        ):
            engine.add_trigger_type(
                TriggerType(
                    id=type_id,
                    description=description,
                    provider=listeners,
                    owner_name=OWNER_NAME,
                    request_schema=payload.encode(msgspec.json.schema(event)),
                )
            )

    def start(self) -> None:
        """Begin to look; what is on offer now is not an event."""
        self._last_seen = self._on_offer()
        self._engine.spawn(self._watch(), "functions-available watch")

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def look(self) -> None:
        """Fire if the set of functions has changed since the last look."""
        on_offer = self._on_offer()
        if on_offer != self._last_seen:
            self._last_seen = on_offer
            rows = [self._catalog.function_row(each) for each in self._engine.functions]
            self._on_functions.tell(FunctionsChanged(rows))

    async def _watch(self) -> None:
        while not self._stopped.is_set():
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._stopped.wait()
            except TimeoutError:
                self.look()

    def _worker_changed(self, event: str, worker: Worker) -> None:
        self._on_workers.tell(WorkerChanged(event, worker.id))

    def _on_offer(self) -> frozenset[tuple[str, str]]:
        return frozenset((each.namespace, each.id) for each in self._engine.functions)


def _ignore(_: Outcome) -> None:
    """Let the outcome go."""
