"""Functions that answer much: what is kept of it, and what is said of the rest (docs/payloads.md)."""

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import Worker

from tests.integration.interop.foreign import CallsFunction, FunctionCall
from tests.support.bucket import Bucket
from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Failing, Gate, Recording
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
LARGEST = "x" * 1_933_000
"""Nearly all that Temporal itself keeps."""
TOO_LARGE = "x" * 3 * MEBIBYTE


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 1, "concurrency": 30},
        "one": {"max_retries": 1, "concurrency": 1},
        "short": {"max_retries": 3, "timeout_ms": 1000},
        "lines": {"type": "fifo", "message_group_field": "group", "max_retries": 1},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(provider_check_ms=200, turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


@pytest.fixture
def storage(tmp_path: Path) -> dict[str, Any]:
    return {"storage": {"directory": str(tmp_path / "large"), "limit_bytes": 8 * MEBIBYTE}}


class Talking:
    """Answers the same every time, and counts."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.calls = 0

    async def __call__(self, _: Delivered) -> Any:
        self.calls += 1
        return self._answer


async def result(worker: FakeSdk, receipt: str) -> Any:
    return await worker.trigger("chain::result", {"receipt": receipt, "timeout_ms": 20_000})


async def completed(bridge: RunningBridge, receipt: str) -> None:
    assert (await ended(bridge.chain(receipt), 40)).status is WorkflowExecutionStatus.COMPLETED


def joining(*receipts: str) -> dict[str, Any]:
    return {"receipts": receipts, "function_id": "joined", "queue": "jobs"}


async def test_without_storage_a_result_may_be_as_large_as_a_message(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(talk=Talking(LARGEST))
    apart = await worker.enqueue("talk", {}, "jobs")
    in_a_lane = await worker.enqueue("talk", {"group": "g"}, "lines")
    for receipt in (apart, in_a_lane):
        assert (await result(worker, receipt))["result"] == LARGEST
    assert (await worker.trigger("chain::get", {"receipt": apart}))["steps"][0]["result"] == LARGEST


async def test_a_result_that_cannot_be_kept_completes_its_step_once_and_is_said_to_be_missing(
    bridge: RunningBridge,
) -> None:
    worker, talking, joined = await bridge.connect(), Talking(TOO_LARGE), Recording()
    await worker.offer(talk=talking, joined=joined)
    apart = await worker.enqueue("talk", {}, "short")
    in_a_lane = await worker.enqueue("talk", {"group": "g"}, "lines")
    for receipt in (apart, in_a_lane):
        told = await result(worker, receipt)
        assert (told["status"], told["result_omitted"]) == ("completed", True)
        assert "result" not in told
        assert "at most 1933312 can be kept. Set up `iii-temporal.payloads.storage`" in told["detail"]
    await completed(bridge, apart)
    (step,) = (await worker.trigger("chain::get", {"receipt": apart}))["steps"]
    assert (step["status"], step["result_omitted"]) == ("completed", True)
    assert "payloads.storage" in step["detail"]
    await worker.trigger("chain::join", joining(apart, in_a_lane))
    (told,) = await eventually(lambda: joined.payloads)
    assert [(each["status"], each["result_omitted"]) for each in told["results"]] == [("completed", True)] * 2
    assert talking.calls == 2


async def test_a_compensation_hears_that_a_result_is_missing(bridge: RunningBridge) -> None:
    worker, undone = await bridge.connect(), Recording()

    async def charge(call: Delivered) -> str:
        await call.enqueue("fail", {}, "jobs")
        return TOO_LARGE

    await worker.register({"charge": charge}, {"compensate": "undo"})
    await worker.register({"fail": Failing(), "undo": undone})
    await ended(bridge.chain(await worker.enqueue("charge", {"n": 1}, "jobs")))
    (told,) = undone.payloads
    assert (told["input"], told["result"], told["result_omitted"]) == ({"n": 1}, None, True)


async def test_a_compensation_of_a_large_message_with_a_result_fits_into_temporal(
    bridge: RunningBridge,
) -> None:
    worker, undone = await bridge.connect(), Recording()

    async def charge(call: Delivered) -> str:
        await call.enqueue("fail", {}, "jobs")
        return "x" * 250_000

    await worker.register({"charge": charge}, {"compensate": "undo"})
    await worker.register({"fail": Failing(), "undo": undone})
    await ended(bridge.chain(await worker.enqueue("charge", {"data": LARGEST}, "jobs")))
    (told,) = undone.payloads
    assert (told["input"], told["result_omitted"]) == ({"data": LARGEST}, True)


async def test_a_chain_of_many_large_results_at_once_completes_and_keeps_what_fits(
    bridge: RunningBridge,
) -> None:
    worker, talking = await bridge.connect(), Talking(LARGEST)

    async def fork(call: Delivered) -> None:
        for number in range(30):
            await call.enqueue("talk", {"n": number}, "jobs")

    await worker.offer(fork=fork, talk=talking)
    receipt = await worker.enqueue("fork", {}, "jobs")
    await completed(bridge, receipt)
    steps = (await worker.trigger("chain::get", {"receipt": receipt}))["steps"][1:]
    kept = [step for step in steps if step.get("result") == LARGEST]
    omitted = [step for step in steps if step.get("result_omitted")]
    assert len(kept) + len(omitted) == 30
    assert len(kept) >= 10
    assert all("has no room" in step["detail"] for step in omitted)
    assert talking.calls == 30


async def test_with_storage_large_results_reach_everybody_who_wants_them(
    start_bridge: StartBridge, queues: dict[str, Any], storage: dict[str, Any]
) -> None:
    bridge = await start_bridge(queues, payloads=storage)
    worker, joined, undone = await bridge.connect(), Recording(), Recording()

    async def fork(call: Delivered) -> str:
        here = await call.enqueue("talk", {}, "jobs")
        await call.trigger("chain::join", joining(here, elsewhere, in_a_lane))
        return TOO_LARGE

    async def fail_when_joined(call: Delivered) -> None:
        await joined(call)
        await Failing()(call)

    await worker.register({"fork": fork}, {"compensate": "undo"})
    await worker.register({"talk": Talking(TOO_LARGE), "joined": fail_when_joined, "undo": undone})
    elsewhere = await worker.enqueue("talk", {}, "jobs")
    in_a_lane = await worker.enqueue("talk", {"group": "g"}, "lines")
    for receipt in (elsewhere, in_a_lane):
        assert (await result(worker, receipt))["result"] == TOO_LARGE
    receipt = await worker.enqueue("fork", {}, "jobs")
    await ended(bridge.chain(receipt))
    # Two of three fit into the largest payload that may be.
    told = [each["result"] for each in joined.payloads[0]["results"]]
    assert told[:2] == [TOO_LARGE, TOO_LARGE]
    assert joined.payloads[0]["results"][2]["result_omitted"] is True
    assert undone.payloads[0]["result"] == TOO_LARGE
    found = await worker.trigger("chain::get", {"receipt": receipt})
    assert found["steps"][0]["result"] == TOO_LARGE


async def test_what_another_chain_is_told_of_later_is_not_cut_either(
    start_bridge: StartBridge, queues: dict[str, Any], storage: dict[str, Any]
) -> None:
    bridge = await start_bridge(queues, payloads=storage)
    worker, joined = await bridge.connect(), Recording()
    gates = {"apart": Gate(), "line": Gate()}

    def held_by(gate: Gate) -> Callable[[Delivered], Any]:
        async def talk(call: Delivered) -> str:
            await gate(call)
            return TOO_LARGE

        return talk

    await worker.register({name: held_by(gate) for name, gate in gates.items()} | {"joined": joined})
    apart = await worker.enqueue("apart", {}, "jobs")
    in_a_lane = await worker.enqueue("line", {"group": "g"}, "lines")
    await eventually(lambda: all(gate.begun for gate in gates.values()))
    await worker.trigger("chain::join", joining(apart, in_a_lane))
    for gate in gates.values():
        gate.open()
    (told,) = await eventually(lambda: joined.payloads)
    assert [each["result"] for each in told["results"]] == [TOO_LARGE, TOO_LARGE]


async def test_a_chain_whose_result_is_gone_is_not_said_to_be_unknown(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket
) -> None:
    bridge = await start_bridge(queues, payloads={"storage": {"s3": bucket.block}})
    worker, joined = await bridge.connect(), Recording()
    await worker.register({"talk": Talking(LARGEST), "joined": joined})
    receipt = await worker.enqueue("talk", {}, "jobs")
    await completed(bridge, receipt)
    objects = await bucket.objects()
    await bucket.empty()
    for look in ("chain::get", "chain::result"):
        with pytest.raises(CallFailed, match=f"in the bucket {bucket.name} cannot be read"):
            await worker.trigger(look, {"receipt": receipt})
    waiting = (await worker.trigger("chain::join", joining(receipt)))["receipt"]
    attempts = await eventually(partial(asking, bridge, waiting))
    assert attempts >= 3
    assert not joined.payloads
    for key, data in objects.items():
        await bucket.client.put_object(Bucket=bucket.name, Key=key, Body=data)
    assert (await result(worker, receipt))["result"] == LARGEST
    (told,) = await eventually(lambda: joined.payloads, 30)
    assert told["results"][0]["result"] == LARGEST


async def asking(bridge: RunningBridge, receipt: str) -> int | None:
    """Return how often a chain has asked for another in vain, once that is more than twice."""
    described = await bridge.chain(receipt).describe()
    attempts = [each.attempt for each in described.raw_description.pending_activities]
    return attempts[0] if attempts and attempts[0] > 2 else None


async def test_a_store_that_stays_away_costs_the_result_and_nothing_else(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket
) -> None:
    bridge = await start_bridge(queues, payloads={"storage": {"s3": bucket.block}})
    worker = await bridge.connect()
    calls: list[int] = []

    async def talk(_: Delivered) -> str:
        calls.append(1)
        await bucket.client.delete_bucket(Bucket=bucket.name)
        return LARGEST

    await worker.offer(talk=talk)
    told = await result(worker, await worker.enqueue("talk", {}, "short"))
    assert (told["status"], told["result_omitted"], len(calls)) == ("completed", True, 1)
    assert f"cannot be written to the bucket {bucket.name}" in told["detail"]


async def test_a_delivery_waits_for_a_payload_that_is_gone_until_it_is_back(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge = await start_bridge(queues, payloads={"storage": {"s3": bucket.block}})
    worker, asker = await bridge.connect(), await bridge.connect()
    gate, heard = Gate(), Recording()
    await worker.register({"slow": gate, "job": heard})
    await asker.enqueue("slow", {}, "one")
    await eventually(lambda: gate.begun)
    receipt = await asker.enqueue("job", {"data": TOO_LARGE}, "one")

    async def is_scheduled() -> bool:
        found = await bridge.chain(receipt).describe()
        return bool(found.raw_description.pending_activities)

    await eventually(is_scheduled)
    objects = await bucket.objects()
    await bucket.empty()
    gate.open()
    printed: list[str] = []

    def is_told() -> bool:
        printed.append(capsys.readouterr().out)
        return "large payload cannot be read; trying again" in "".join(printed)

    await eventually(is_told)
    assert bucket.name in "".join(printed)
    assert any(key in "".join(printed) for key in objects)
    for key, data in objects.items():
        await bucket.client.put_object(Bucket=bucket.name, Key=key, Body=data)
    await completed(bridge, receipt)
    assert heard.of("data") == [TOO_LARGE]  # at the only attempt that the queue grants


async def test_a_chain_whose_object_is_gone_goes_on_when_it_is_back(
    start_bridge: StartBridge, queues: dict[str, Any], bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    payloads = {"storage": {"s3": bucket.block}}
    before = await start_bridge(queues, payloads=payloads)
    receipt = await (await before.connect()).enqueue("late", {"data": TOO_LARGE}, "jobs")
    await before.stop()  # and forget what is in its memory
    objects = await bucket.objects()
    (start,) = [key for key in objects if "/ri/null/" in key]
    await bucket.client.delete_object(Bucket=bucket.name, Key=start)
    after, heard = await start_bridge(queues, payloads=payloads), Recording()
    worker = await after.connect()
    await worker.register({"late": heard, "other": heard})
    await eventually(
        lambda: f"The large payload {start} in the bucket {bucket.name} cannot" in caplog.text, 20
    )
    await completed(after, await worker.enqueue("other", {"data": "small"}, "jobs"))
    await bucket.client.put_object(Bucket=bucket.name, Key=start, Body=objects[start])
    await completed(after, receipt)
    assert sorted(map(len, heard.of("data"))) == [5, len(TOO_LARGE)]


async def test_a_workflow_hears_for_good_that_an_answer_is_too_large_for_it(
    bridge: RunningBridge, temporal: Client
) -> None:
    worker, talking = await bridge.connect(), Talking(TOO_LARGE)
    await worker.offer(talk=talking)
    name = f"foreign-{uuid.uuid4()}"
    async with Worker(temporal, task_queue=name, workflows=[CallsFunction]):
        call = FunctionCall(bridge.prefix, "talk", [{}], attempts=3)
        with pytest.raises(WorkflowFailureError) as failed:
            await temporal.execute_workflow(CallsFunction.run, call, id=name, task_queue=name)
    assert isinstance(failed.value.cause, ActivityError)
    error = failed.value.cause.cause
    assert isinstance(error, ApplicationError)
    assert (error.type, error.non_retryable, talking.calls) == ("result_too_large", True, 1)
    assert "payloads.storage" in error.message
