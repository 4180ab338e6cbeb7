"""The key with which bridges seal what they say of a job, where all of them find it: in Temporal."""

from temporalio import workflow

from workflows.contract import WorkflowType

__all__ = ["SealKey"]


@workflow.defn(name=WorkflowType.SEAL_KEY)
class SealKey:
    """Stays open, so that its memo, which has the key, is never dropped.

    Whoever terminates it has the bridges that start after that make a new one.
    """

    @workflow.run
    async def run(self) -> None:
        """Wait for ever."""
        await workflow.wait_condition(lambda: False)
