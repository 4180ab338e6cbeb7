"""`iii-cron` (spec 05 §1.8)."""

from collections.abc import Container, Iterator
from typing import ClassVar

from bridge.config.block import Block, PositiveMilliseconds
from bridge.config.blocks.adapters import CronAdapter, CronLockAdapter

__all__ = ["CronBlock"]


class CronBlock(Block):
    """Schedules. Temporal keeps and fires them, so the adapter has no work left.

    Attributes:
        adapter: Where iii keeps locks.
        orphan_timeout_ms: Ours. After how long a schedule whose worker does not return is deleted.
    """

    live: ClassVar[Container[str]] = ("adapter",)

    adapter: CronAdapter = CronLockAdapter()
    orphan_timeout_ms: PositiveMilliseconds = 86_400_000

    def notices(self) -> Iterator[str]:
        """Tell an author who expects locks in Redis that there are none."""
        if self.adapter.name != "kv":
            yield (
                f"iii-cron: adapter `{self.adapter.name}` has no effect, schedules live in Temporal;"
                " remove the adapter"
            )
