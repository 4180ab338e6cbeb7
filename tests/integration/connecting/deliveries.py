"""What tests of rotating credentials ask of a bridge: that it goes on delivering."""

from temporalio.client import WorkflowExecutionStatus

from tests.support.handlers import Recording
from tests.support.running_bridge import RunningBridge, ended


async def delivers(bridge: RunningBridge) -> None:
    """Return once a message has been enqueued and handled."""
    handled, worker = Recording(), await bridge.connect()
    await worker.register({"hello": handled})
    await has_completed(bridge, await worker.enqueue("hello", "world", "jobs"))
    assert handled.payloads == ["world"]


async def has_completed(bridge: RunningBridge, *receipts: str) -> None:
    """Return once the chains of these receipts have ended well."""
    for receipt in receipts:
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
