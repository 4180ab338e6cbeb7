"""The order pipeline goes on where it was when one of its processes is killed with kill -9."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline, eventually, running_pipeline

ORDER = {"items": [{"sku": "mug", "quantity": 1}], "total": 42}
# Long enough that a kill lands between two attempts, short enough to wait for.
BACKOFF_MS = 1000

pytestmark = pytest.mark.integration


@pytest.fixture(
    params=[("python", "0.25.0"), ("node", "0.22.1"), ("node", "0.11.6")],
    ids="-".join,
)
async def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with running_pipeline(tmp_path, *request.param, backoff_ms=BACKOFF_MS) as pipeline:
        yield pipeline


@pytest.fixture
async def validated(pipeline: Pipeline) -> dict[str, str]:
    """An order that is between two steps: validated, and its first payment has failed."""
    accepted = await pipeline.post(**ORDER, fail_until_payment_attempt=1)
    await eventually(
        lambda: pipeline.order(accepted["order_id"]), lambda order: order["payment_attempts"] == 1
    )
    return accepted


async def test_an_order_goes_on_after_the_bridge_was_killed(
    pipeline: Pipeline, validated: dict[str, str]
) -> None:
    pipeline.bridge.kill()
    pipeline.bridge.start()
    await assert_each_step_ran_once(pipeline, validated)


async def test_an_order_goes_on_after_the_worker_was_killed(
    pipeline: Pipeline, validated: dict[str, str]
) -> None:
    pipeline.worker.kill()
    pipeline.worker.start()
    await assert_each_step_ran_once(pipeline, validated)


async def test_an_order_goes_on_after_the_temporal_server_was_killed(
    pipeline: Pipeline, validated: dict[str, str]
) -> None:
    pipeline.temporal.kill()
    assert (await pipeline.order(validated["order_id"]))["status"] == "validated"
    pipeline.temporal.start()
    await assert_each_step_ran_once(pipeline, validated)


async def test_every_accepted_order_is_fulfilled_when_the_bridge_is_killed_at_once(
    pipeline: Pipeline,
) -> None:
    placed = await asyncio.gather(*(pipeline.post(**ORDER) for _ in range(10)))
    pipeline.bridge.kill()
    pipeline.bridge.start()
    for accepted in placed:
        order = await pipeline.until_status(accepted["order_id"], "fulfilled")
        assert done_steps(order) == {"validate": 1, "charge-payment": 1, "ship": 1, "fulfill": 1}


async def assert_each_step_ran_once(pipeline: Pipeline, accepted: dict[str, str]) -> None:
    """Assert that the order is fulfilled, and that nothing but its declined payment was tried again."""
    order = await pipeline.until_status(accepted["order_id"], "fulfilled")
    assert done_steps(order) == {"validate": 1, "charge-payment": 1, "ship": 1, "fulfill": 1}
    assert order["payment_attempts"] == 2
    await eventually(lambda: pipeline.chain_status(accepted["enqueue_receipt_id"]), "COMPLETED".__eq__)
    steps = await pipeline.steps(accepted["enqueue_receipt_id"])
    completed = Counter(step.function_id for step in steps if step.is_completed)
    assert completed == {"orders::validate": 1, "orders::charge-payment": 1, "orders::ship": 1}


def done_steps(order: dict[str, list[dict[str, str]]]) -> Counter[str]:
    return Counter(event["step"] for event in order["history"] if event["outcome"] == "done")
