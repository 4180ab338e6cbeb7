"""What a Temporal user would write for a pipeline of three steps."""

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

__all__ = ["STEPS", "ByHand", "by_hand"]

STEPS = 3


@activity.defn(name="by_hand")
async def by_hand(payload: dict[str, Any]) -> dict[str, Any]:
    """Do nothing, durably."""
    return payload


@workflow.defn(name="ByHand")
class ByHand:
    """Three activities in a row."""

    @workflow.run
    async def run(self, payload: dict[str, Any]) -> None:
        """Run the steps."""
        for _ in range(STEPS):
            await workflow.execute_activity(by_hand, payload, start_to_close_timeout=timedelta(minutes=1))
