"""Workflows whose activities are functions on the real SDKs of iii."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

from tests.conformance.sdk_worker import Sdk
from tests.integration.interop.foreign import CallsFunction, FunctionCall
from tests.integration.interop.real_sdk import SDKS, RealSdk, real_sdk
from tests.support.fake_sdk import FakeSdk
from tests.support.handlers import Gate
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

Begin = Callable[..., Awaitable[WorkflowHandle[Any, Any]]]
AT_THE_GATE = {"function_id": "gate", "payload": {}}
"""Has the client's `call` wait in a call of its own until the gate opens."""


@pytest.fixture
async def driver(bridge: RunningBridge) -> FakeSdk:
    return await bridge.connect()


@pytest.fixture(params=SDKS, ids=str)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    found: Sdk = request.param
    return found


@pytest.fixture
async def client(bridge: RunningBridge, driver: FakeSdk, sdk: Sdk) -> AsyncIterator[RealSdk]:
    async with real_sdk(bridge, driver, sdk, "client") as client:
        yield client


@pytest.fixture
async def gate(driver: FakeSdk) -> Gate:
    gate = Gate()
    await driver.offer(gate=gate)
    return gate


@pytest.fixture
def begin(temporal: Client, foreign_queue: str, prefix: str) -> Begin:
    """Start a workflow that calls one of the client's functions."""

    async def start(name: str, payload: Any, **options: Any) -> WorkflowHandle[Any, Any]:
        call = FunctionCall(prefix, f"client::{name}", [payload], **options)
        return await temporal.start_workflow(
            CallsFunction.run, call, id=f"foreign-{uuid.uuid4()}", task_queue=foreign_queue
        )

    return start


async def failure(handle: WorkflowHandle[Any, Any]) -> BaseException:
    """Return why the activity of a workflow failed."""
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ActivityError)
    assert caught.value.cause.cause is not None
    return caught.value.cause.cause


async def attempts(handle: WorkflowHandle[Any, Any]) -> int:
    """Return how many attempts the activity of a workflow that has ended took."""
    history = await handle.fetch_history()
    return max(each.activity_task_started_event_attributes.attempt for each in history.events)


@pytest.mark.usefixtures("client")
async def test_the_handler_gets_payload_and_metadata_and_its_answer_is_the_result(
    begin: Begin, prefix: str
) -> None:
    handle = await begin("withmetadata", {"n": 21, "deep": [None, 1.5, "ä"]})
    told = await handle.result()
    assert told["data"] == {"n": 21, "deep": [None, 1.5, "ä"]}
    about = told["metadata"]["iii-temporal"]
    run_id = handle.first_execution_run_id
    assert (about["workflow_id"], about["run_id"], about["task_queue"]) == (handle.id, run_id, prefix)
    assert (about["workflow_type"], about["namespace"], about["attempt"]) == ("CallsFunction", "default", 1)
    assert about["idempotency_key"] == f"{run_id}/{about['activity_id']}"


@pytest.mark.usefixtures("client")
async def test_an_exception_of_the_handler_is_an_error_of_type_invocation_failed(begin: Begin) -> None:
    handle = await begin("fail", {"what": "a hint"}, attempts=3)
    failed = await failure(handle)
    assert isinstance(failed, ApplicationError)
    assert (failed.type, failed.message) == ("invocation_failed", "cannot take a hint")
    assert "cannot take a hint" in failed.details[0]  # the stack
    assert await attempts(handle) == 3


@pytest.mark.usefixtures("client")
async def test_a_code_that_the_workflow_calls_final_is_not_tried_again(begin: Begin) -> None:
    handle = await begin("fail", {"what": "this"}, attempts=0, non_retryable=["invocation_failed"])
    failed = await failure(handle)
    assert isinstance(failed, ApplicationError)
    assert failed.type == "invocation_failed"
    assert await attempts(handle) == 1


async def test_heartbeats_keep_a_slow_handler_alive(
    bridge: RunningBridge, client: RealSdk, gate: Gate, begin: Begin
) -> None:
    handle = await begin("call", AT_THE_GATE, heartbeat_s=1, start_to_close_s=60)
    await bridge.eventually_handled(gate.begun, 1)
    seen: set[int] = set()

    async def has_beaten_again() -> bool:
        (pending,) = (await handle.describe()).raw_description.pending_activities
        seen.add(pending.last_heartbeat_time.ToNanoseconds())
        return len(seen) > 3

    await eventually(has_beaten_again)
    gate.open()
    assert await handle.result() == {"result": "done"}
    assert len(gate.begun) == 1
    assert await client.is_on_offer()


async def test_a_cancelled_workflow_waits_for_no_handler_and_its_answer_harms_nobody(
    bridge: RunningBridge, client: RealSdk, gate: Gate, begin: Begin
) -> None:
    handle = await begin("call", AT_THE_GATE, heartbeat_s=1, start_to_close_s=60)
    await bridge.eventually_handled(gate.begun, 1)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    gate.open()
    assert await client.call("gate", {}) == "done"


async def test_a_handler_that_takes_too_long_times_out_in_temporal_and_its_answer_harms_nobody(
    bridge: RunningBridge, client: RealSdk, gate: Gate, begin: Begin
) -> None:
    handle = await begin("call", AT_THE_GATE, start_to_close_s=1)
    assert isinstance(await failure(handle), ActivityTimeoutError)
    await bridge.eventually_handled(gate.begun, 1)
    gate.open()
    assert await client.call("gate", {}) == "done"


async def test_a_worker_that_is_killed_costs_an_attempt_and_the_next_one_gets_the_call(
    bridge: RunningBridge, driver: FakeSdk, sdk: Sdk, client: RealSdk, gate: Gate, begin: Begin
) -> None:
    handle = await begin("call", AT_THE_GATE, attempts=0, start_to_close_s=60)
    await bridge.eventually_handled(gate.begun, 1)
    await client.kill()

    async def says_why() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        failures = [each.last_failure.application_failure_info.type for each in pending]
        return failures in (["invocation_stopped"], ["function_not_found"])

    await eventually(says_why)
    gate.open()
    async with real_sdk(bridge, driver, sdk, "client"):
        assert await handle.result() == {"result": "done"}
    assert await attempts(handle) > 1
