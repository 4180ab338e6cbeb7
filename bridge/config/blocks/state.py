"""`iii-state` (spec 03 §5.2)."""

from collections.abc import Container, Iterator
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from bridge.config.block import Block, Unsigned64
from bridge.config.blocks.adapters import StateAdapter, StateKvAdapter

__all__ = ["StateBlock"]


def _zero_is_unlimited(limit: int | None) -> int | None:
    return limit or None


class StateBlock(Block):
    """Shared state.

    Attributes:
        adapter: Where the values are.
        triggers_enabled: Whether changes fire `state` triggers.
        max_value_bytes: The largest value, as JSON text; `None` is unlimited.
        save_interval_ms: Accepted and without effect.
        dotted_paths: Ours. Whether the update path `a.b` means `["a", "b"]`, as iii's examples assume,
            instead of the literal key `a.b`, as iii does.
    """

    live: ClassVar[Container[str]] = ("triggers_enabled", "max_value_bytes", "save_interval_ms")

    adapter: StateAdapter = StateKvAdapter()
    triggers_enabled: bool = True
    max_value_bytes: Annotated[Unsigned64 | None, AfterValidator(_zero_is_unlimited)] = None
    save_interval_ms: Unsigned64 | None = None
    dotted_paths: bool = False

    def notices(self) -> Iterator[str]:
        """Tell what the adapter has to tell."""
        yield from (f"iii-state: {notice}" for notice in self.adapter.config.notices())
