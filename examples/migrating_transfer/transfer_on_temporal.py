"""Before: a transfer as a Temporal workflow in Python, and its worker."""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bank import Bank

RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_attempts=3)
TIMEOUT = timedelta(seconds=30)


@dataclass
class Transfer:
    """Who pays whom how much, under a reference of its own."""

    source: str
    target: str
    amount: int
    reference: str


class BankActivities:
    """What the workflow has done."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    @activity.defn
    async def withdraw(self, transfer: Transfer) -> dict[str, int]:
        """Take the money from the source."""
        return self._bank.book(transfer.source, -transfer.amount, f"{transfer.reference}/withdraw")

    @activity.defn
    async def deposit(self, transfer: Transfer) -> dict[str, int]:
        """Give it to the target."""
        return self._bank.book(transfer.target, transfer.amount, f"{transfer.reference}/deposit")

    @activity.defn
    async def refund(self, transfer: Transfer) -> dict[str, int]:
        """Give it back to the source."""
        return self._bank.book(transfer.source, transfer.amount, f"{transfer.reference}/refund")


@workflow.defn
class MoneyTransfer:
    """Withdraw, deposit, and refund if the deposit fails."""

    @workflow.run
    async def run(self, transfer: Transfer) -> dict[str, int]:
        """Return the balance of the target."""
        options = {"start_to_close_timeout": TIMEOUT, "retry_policy": RETRIES}
        await workflow.execute_activity_method(BankActivities.withdraw, transfer, **options)
        try:
            return await workflow.execute_activity_method(BankActivities.deposit, transfer, **options)
        except ActivityError:
            await workflow.execute_activity_method(BankActivities.refund, transfer, **options)
            raise


async def main() -> None:
    """Serve transfers until the process is ended."""
    client = await Client.connect(os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"))
    bank = BankActivities(Bank())
    worker = Worker(
        client,
        task_queue="transfers",
        workflows=[MoneyTransfer],
        activities=[bank.withdraw, bank.deposit, bank.refund],
    )
    print("worker ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
