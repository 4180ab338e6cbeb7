"""The order pipeline of examples/order_fulfillment, end to end, on the SDKs that users run."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from tests.support.pipeline import Pipeline, eventually, running_pipeline

BACKOFF_MS = 100
ORDER = {"items": [{"sku": "mug", "quantity": 1}], "total": 42}
PIPELINE = ["orders::validate", "orders::charge-payment", "orders::ship"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[("python", "0.25.0"), ("node", "0.22.1"), ("node", "0.11.6")],
    ids="-".join,
)
async def pipeline(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """One pipeline for all tests on an SDK; they share no order, and no queue with dead letters."""
    directory = tmp_path_factory.mktemp("pipeline")
    async with running_pipeline(directory, *request.param, backoff_ms=BACKOFF_MS) as pipeline:
        yield pipeline


async def test_an_order_is_fulfilled_after_two_failed_payments(pipeline: Pipeline) -> None:
    accepted = await pipeline.post(**ORDER, fail_until_payment_attempt=2)
    assert accepted.keys() == {"order_id", "enqueue_receipt_id"}

    order = await pipeline.until_status(accepted["order_id"], "fulfilled")
    assert order["payment_attempts"] == 3
    assert outcomes(order) == [
        ("validate", "done"),
        ("charge-payment", "failed"),
        ("charge-payment", "failed"),
        ("charge-payment", "done"),
        ("ship", "done"),
        ("fulfill", "done"),
    ]
    assert await notifications(pipeline, accepted["order_id"]) == 1


async def test_failed_payments_wait_as_configured(pipeline: Pipeline) -> None:
    accepted = await pipeline.post(**ORDER, fail_until_payment_attempt=2)
    order = await pipeline.until_status(accepted["order_id"], "fulfilled")

    [payment] = [step for step in await pipeline.steps(accepted["enqueue_receipt_id"]) if step.attempts == 3]
    policy = payment.scheduled.retry_policy
    assert payment.function_id == "orders::charge-payment"
    assert policy.maximum_attempts == 5
    assert policy.initial_interval.ToTimedelta() == timedelta(milliseconds=BACKOFF_MS)
    assert policy.backoff_coefficient == 2
    times = [
        datetime.fromisoformat(event["at"]) for event in order["history"] if event["step"] == "charge-payment"
    ]
    first_wait, second_wait = (later - earlier for earlier, later in itertools.pairwise(times))
    assert first_wait >= timedelta(milliseconds=BACKOFF_MS)
    assert second_wait >= timedelta(milliseconds=2 * BACKOFF_MS)


async def test_the_steps_of_an_order_are_activities_of_one_workflow(pipeline: Pipeline) -> None:
    accepted = await pipeline.post(**ORDER)
    await pipeline.until_status(accepted["order_id"], "fulfilled")
    await eventually(lambda: pipeline.chain_status(accepted["enqueue_receipt_id"]), "COMPLETED".__eq__)
    steps = await pipeline.steps(accepted["enqueue_receipt_id"])
    assert [step.function_id for step in steps] == PIPELINE
    assert [step.attempts for step in steps] == [1, 1, 1]


async def test_orders_placed_together_are_each_a_workflow_of_their_own(pipeline: Pipeline) -> None:
    placed = await asyncio.gather(*(pipeline.post(**ORDER, fail_until_payment_attempt=1) for _ in range(5)))
    for accepted in placed:
        order = await pipeline.until_status(accepted["order_id"], "fulfilled")
        assert order["payment_attempts"] == 2
        steps = await pipeline.steps(accepted["enqueue_receipt_id"])
        assert [step.function_id for step in steps] == PIPELINE


async def test_a_payment_that_fails_for_good_ships_once_it_is_redriven_without_the_fault(
    pipeline: Pipeline,
) -> None:
    accepted = await pipeline.post(**ORDER, force_payment_failure=True)
    order_id = accepted["order_id"]
    [letter] = await eventually(lambda: pipeline.dead_letters("order-payment"), bool)
    assert letter["error"] == f"payment of order {order_id} declined: force_payment_failure is set"
    assert letter["payload"]["order_id"] == order_id
    assert letter["retries"] == 5
    order = await pipeline.order(order_id)
    assert (order["status"], order["payment_attempts"]) == ("validated", 5)

    response = await pipeline.http.post(f"/orders/{order_id}/repair-payment")
    assert response.status_code == 200
    redriven = await pipeline.trigger("iii::queue::redrive", queue="order-payment")
    assert redriven == {"queue": "order-payment", "redriven": 1}

    order = await pipeline.until_status(order_id, "fulfilled")
    assert order["payment_attempts"] == 6
    assert await notifications(pipeline, order_id) == 1
    await eventually(lambda: pipeline.dead_letters("order-payment"), lambda letters: letters == [])


async def test_an_empty_order_fails_validation_after_two_attempts(pipeline: Pipeline) -> None:
    accepted = await pipeline.post(items=[], total=42)
    order_id = accepted["order_id"]
    [letter] = await eventually(lambda: pipeline.dead_letters("order-validate"), bool)
    assert letter["error"] == f"order {order_id} is invalid: items must be a list with at least one item"
    assert letter["retries"] == 2
    order = await pipeline.order(order_id)
    assert outcomes(order) == [("validate", "failed"), ("validate", "failed")]
    assert order["payment_attempts"] == 0


def outcomes(order: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    return [(event["step"], event["outcome"]) for event in order["history"]]


async def notifications(pipeline: Pipeline, order_id: str) -> int:
    """Return how often the subscriber of order.fulfilled was told about an order."""
    note = await eventually(lambda: pipeline.trigger("state::get", scope="notifications", key=order_id), bool)
    deliveries: int = note["deliveries"]
    return deliveries
