"""A workflow of Temporal whose activities are functions of iii."""

import asyncio
import os
import uuid
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

TASK_QUEUE = "orders-python"
FUNCTIONS = os.environ.get("III_TASK_QUEUE", "iii")


@workflow.defn(name="OrderWorkflow")
class OrderWorkflow:
    """Reserves and charges an order; both are functions of iii, called by their ids."""

    @workflow.run
    async def run(self, order: dict[str, Any], functions: str) -> dict[str, Any]:
        """Return the reservation and the payment."""
        reservation = await self._call(functions, "inventory::reserve", order)
        payment = await self._call(functions, "payments::charge", order)
        return {**reservation, **payment}

    async def _call(self, functions: str, function_id: str, payload: dict[str, Any]) -> Any:
        return await workflow.execute_activity(
            function_id,
            payload,
            task_queue=functions,
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(non_retryable_error_types=["CARD_DECLINED"]),
        )


async def main() -> None:
    """Run the worker, and one order on it."""
    client = await Client.connect(os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"))
    async with Worker(client, task_queue=TASK_QUEUE, workflows=[OrderWorkflow]):
        order = {"id": uuid.uuid4().hex[:8], "article": "lamp", "amount": 40}
        result = await client.execute_workflow(
            OrderWorkflow.run, args=[order, FUNCTIONS], id=f"order-{order['id']}", task_queue=TASK_QUEUE
        )
        print(f"order done {result['reservation']} {result['payment']}")


if __name__ == "__main__":
    asyncio.run(main())
