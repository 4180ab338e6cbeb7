"""`iii-cron` (spec 05 §1.8)."""

from collections.abc import Iterator

from bridge.config.block import Block
from bridge.config.blocks.adapters import CronAdapter, CronLockAdapter

__all__ = ["CronBlock"]


class CronBlock(Block):
    """Schedules. Temporal keeps and fires them, so the adapter has no work left."""

    adapter: CronAdapter = CronLockAdapter()

    def notices(self) -> Iterator[str]:
        """Tell an author who expects locks in Redis that there are none."""
        if self.adapter.name != "kv":
            yield (
                f"iii-cron: adapter `{self.adapter.name}` has no effect, schedules live in Temporal;"
                " remove the adapter"
            )
