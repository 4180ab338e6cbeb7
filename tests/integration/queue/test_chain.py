"""A chain: one workflow for everything that a message leads to (design: how iii lands on Temporal)."""

import uuid
from typing import Any

import pytest

from tests.support.fake_sdk import Delivered
from tests.support.running_bridge import RunningBridge, deliveries, ended, events

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "validate": {},
        "payment": {"type": "fifo", "message_group_field": "order_id", "backoff_ms": 1},
        "ship": {"max_retries": 3, "backoff_ms": 1},
    }


async def test_a_chain_is_one_workflow_with_its_steps_in_order(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failures = iter([True, False])

    async def validate(call: Delivered) -> None:
        await call.enqueue("payments::charge", call.data, "payment")

    async def charge(call: Delivered) -> None:
        await call.enqueue("orders::ship", call.data, "ship")

    async def ship(_: Delivered) -> str:
        if next(failures):
            raise RuntimeError("no courier")
        return "shipped"

    await worker.register({"orders::validate": validate, "payments::charge": charge, "orders::ship": ship})
    receipt = await worker.enqueue("orders::validate", {"order_id": "o-1"}, "validate")
    assert str(uuid.UUID(receipt)) == receipt

    chain = bridge.chain(receipt)
    assert (await ended(chain)).workflow_type == "orders::validate"
    assert await chain.result() == "3 steps completed"
    assert deliveries(await events(chain)) == [
        "orders::validate",
        "payments::charge",
        "orders::ship",
    ]
    assert [each.durable["attempt"] for each in worker.delivered] == [1, 1, 1, 2]
    assert {each.durable["chain_id"] for each in worker.delivered} == {receipt}
