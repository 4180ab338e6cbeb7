"""Running the functions that wait for an event (spec 03 §2.4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from bridge.engine.calls import Outcome
from bridge.engine.engine import Engine
from bridge.engine.triggers import Binding

__all__ = ["Filter", "Watcher", "fire_in_turn", "log_failure"]

log = structlog.get_logger("bridge.triggers")


class Filter(Protocol):
    """What a binding's configuration says of the events it wants."""

    @property
    def condition_function_id(self) -> str | None:
        """The function that is asked before each run."""


FilterT_co = TypeVar("FilterT_co", bound=Filter, covariant=True)


@dataclass(frozen=True, slots=True)
class Watcher(Generic[FilterT_co]):
    """A binding, and which events it wants."""

    binding: Binding
    filter: FilterT_co


async def fire_in_turn(engine: Engine, watchers: Iterable[Watcher[Filter]], event: msgspec.Raw) -> None:
    """Run the functions of watchers one after another; one that fails is logged and stops no other.

    Cancellation: safe; a function that was started keeps running.
    """
    for watcher in watchers:
        outcome = await engine.fire(
            watcher.binding, event, condition_function_id=watcher.filter.condition_function_id
        )
        if outcome is not None:
            log_failure(watcher.binding, outcome)


def log_failure(binding: Binding, outcome: Outcome) -> None:
    """Tell the log of a function that failed, as nobody waits for its answer."""
    if outcome.error is not None:
        log.warning(
            "trigger failed",
            trigger_id=binding.id,
            trigger_type=binding.trigger_type,
            function_id=binding.function_id,
            error=outcome.error.message,
        )
