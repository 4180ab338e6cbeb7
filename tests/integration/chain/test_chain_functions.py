"""`chain::*`: what handlers and operators ask of chains (docs/chains.md)."""

from typing import Any

import pytest
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Failing, Gate, Recording, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration

FUNCTION = {"function_id": "f"}
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 1},
        "lines": {"type": "fifo", "message_group_field": "g", "max_retries": 1},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(provider_check_ms=200, turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


async def answer(call: Delivered) -> dict[str, Any]:
    return {"got": call.data}


async def result(worker: FakeSdk, receipt: str, **extra: Any) -> Any:
    return await worker.trigger("chain::result", {"receipt": receipt, "timeout_ms": 15_000, **extra})


async def test_info_tells_a_handler_where_it_runs(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    told: list[Any] = []

    async def job(call: Delivered) -> None:
        told.append((await call.trigger("chain::info", {}), call.durable))

    await worker.offer(job=job)
    receipt = await worker.enqueue("job", {}, "jobs")
    ((info, durable),) = await eventually(lambda: told)
    assert info == durable
    assert info["chain_id"] == receipt
    with pytest.raises(CallFailed, match="not made in a handler"):
        await worker.trigger("chain::info", {})


async def test_get_tells_every_step_with_its_result_by_the_receipt_of_any_of_them(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    second: list[str] = []

    async def first(call: Delivered) -> dict[str, int]:
        second.append(await call.enqueue("second", {"n": 2}, "jobs"))
        return {"n": 1}

    await worker.offer(first=first, second=answer)
    receipt = await worker.enqueue("first", {}, "jobs")
    await ended(bridge.chain(receipt))
    found = await worker.trigger("chain::get", {"receipt": receipt})
    assert found["chain"]["status"] == "completed"
    assert found["chain"]["function_id"] == "first"
    assert [(step["function_id"], step["status"], step["result"]) for step in found["steps"]] == [
        ("first", "completed", {"n": 1}),
        ("second", "completed", {"got": {"n": 2}}),
    ]
    assert found["steps"][1]["parent"] == receipt

    async def found_by_second() -> Any:
        try:
            return await worker.trigger("chain::get", {"receipt": second[0]})
        except CallFailed:  # visibility lags behind
            return None

    assert await eventually(found_by_second) == found
    assert await worker.trigger("chain::get", {"chain_id": receipt}) == found
    without = await worker.trigger("chain::get", {"receipt": receipt, "results": False})
    assert all("result" not in step for step in without["steps"])


async def test_get_tells_the_end_of_a_chain_only_with_that_of_its_steps(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, asker = await bridge.connect(), await bridge.connect()
    gate = Gate()
    await worker.offer(job=gate)
    receipt = await asker.enqueue("job", {}, "jobs")
    await eventually(lambda: gate.begun)
    describe = WorkflowHandle.describe

    async def describe_after_the_end(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionDescription:
        gate.open()
        await handle.result()
        return await describe(handle)

    monkeypatch.setattr(WorkflowHandle, "describe", describe_after_the_end)
    found = await asker.trigger("chain::get", {"receipt": receipt})
    assert (found["chain"]["status"], found["steps"][0]["status"]) == ("completed", "completed")


async def test_get_tells_why_a_step_was_lost(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(job=Failing(text="out of stock"))
    receipt = await worker.enqueue("job", {}, "jobs")
    await ended(bridge.chain(receipt))
    found = await worker.trigger("chain::get", {"receipt": receipt})
    assert found["chain"]["status"] == "failed"
    assert (found["steps"][0]["status"], found["steps"][0]["detail"]) == ("lost", "out of stock")


async def test_a_chain_that_nobody_knows_is_an_error_that_says_so(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    for function_id in ("chain::get", "chain::cancel"):
        with pytest.raises(CallFailed, match=NOBODY) as unknown:
            await worker.trigger(function_id, {"receipt": NOBODY})
        assert unknown.value.code == "chain_not_found"
    assert await worker.trigger("chain::result", {"receipt": NOBODY, "timeout_ms": 0}) == {
        "receipt": NOBODY,
        "status": "unknown",
    }


@pytest.mark.parametrize(
    ("function_id", "data"),
    [
        ("chain::get", {}),
        ("chain::get", {"receipt": "1' OR '1'='1"}),
        ("chain::get", {"receipt": NOBODY, "chain_id": NOBODY}),
        ("chain::result", {"receipt": NOBODY, "timeout_ms": 60_001}),
        ("chain::list", {"limit": 0}),
        ("chain::delay", {"function_id": "f", "delay_ms": -1}),
        ("chain::join", {"function_id": "f", "receipts": []}),
        ("chain::wait_for_event", {"event": "e", "on_event": {}}),
        (
            "chain::wait_for_event",
            {"event": "e", "on_event": FUNCTION, "on_timeout": FUNCTION},
        ),
        ("chain::send_event", {"receipt": NOBODY}),
    ],
)
async def test_input_of_the_wrong_shape_is_refused(
    bridge: RunningBridge, function_id: str, data: Any
) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed) as refused:
        await worker.trigger(function_id, data)
    assert refused.value.code == "deserialization_error"


async def test_list_filters_chains_and_pages_through_them(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    await worker.offer(good=succeed, bad=Failing())
    good = [await sender.enqueue("good", {"n": n}, "jobs") for n in range(3)]
    bad = await sender.enqueue("bad", {}, "jobs")
    for receipt in (*good, bad):
        await ended(bridge.chain(receipt))

    async def listed(**wanted: Any) -> Any:
        page = await worker.trigger("chain::list", wanted)
        return sorted(row["chain_id"] for row in page["chains"]), page["next"]

    async def visibility_knows_the_ends() -> bool:
        ended_well, failed = await listed(status="completed"), await listed(status="failed")
        return (ended_well, failed) == ((sorted(good), None), ([bad], None))

    await eventually(visibility_knows_the_ends)
    assert await listed(function_id="bad") == ([bad], None)
    assert await listed(queue="lines") == ([], None)
    assert await listed(chain_id=bad) == ([bad], None)
    assert await listed(started_after_ms=4_000_000_000_000) == ([], None)
    first, cursor = await listed(limit=3)
    rest, _ = await listed(limit=3, cursor=cursor)
    assert sorted((*first, *rest)) == sorted((*good, bad))
    for wrong in ({"status": "odd"}, {"cursor": "odd!"}):
        with pytest.raises(CallFailed, match=r"odd|cursor"):
            await worker.trigger("chain::list", wrong)


async def test_result_waits_for_the_end_of_a_message(bridge: RunningBridge) -> None:
    worker, asker = await bridge.connect(), await bridge.connect()
    gate = Gate()
    await worker.offer(job=gate, bad=Failing(text="boom"))
    receipt = await asker.enqueue("job", {}, "jobs")
    await eventually(lambda: gate.begun)
    early = await asker.trigger("chain::result", {"receipt": receipt, "timeout_ms": 0})
    assert early["status"] == "running"
    gate.open()
    late = await result(asker, receipt)
    assert (late["status"], late["result"]) == ("completed", "done")
    lost = await result(asker, await asker.enqueue("bad", {}, "jobs"))
    assert (lost["status"], lost["error"]) == ("lost", "boom")


async def test_result_finds_a_message_that_a_lane_ran_itself(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    await worker.offer(job=answer)
    receipts = [await sender.enqueue("job", {"g": "a", "n": n}, "lines") for n in range(2)]
    for n, receipt in enumerate(receipts):
        ending = await result(worker, receipt)
        assert (ending["status"], ending["result"]) == ("completed", {"got": {"g": "a", "n": n}})


async def test_result_finds_a_message_that_an_earlier_run_of_a_long_chain_delivered(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    bridge = await start_bridge(queues, pace=Pace(events_per_run=30))
    worker = await bridge.connect()
    receipts: list[str] = []

    async def job(call: Delivered) -> Any:
        if call.data["n"] < 20:
            receipts.append(await call.enqueue("job", {"n": call.data["n"] + 1}, "jobs"))
        return call.data

    await worker.offer(job=job)
    receipts.append(await worker.enqueue("job", {"n": 0}, "jobs"))
    first = receipts[0]
    await eventually(lambda: len(receipts) == 21)
    last = await result(worker, receipts[-1], chain_id=first)
    assert last["result"] == {"n": 20}
    assert (await result(worker, first))["result"] == {"n": 0}


async def test_a_delayed_message_is_delivered_when_it_is_due(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    request = {"function_id": "job", "queue": "jobs", "payload": {"n": 1}, "delay_ms": 600_000}
    far = (await worker.trigger("chain::delay", request))["messageReceiptId"]
    soon = await worker.trigger("chain::delay", request | {"payload": {"n": 2}, "delay_ms": 1})
    await result(worker, soon["messageReceiptId"])
    assert heard.of("n") == [2]
    assert (await worker.trigger("chain::result", {"receipt": far, "timeout_ms": 0}))["status"] != "completed"


async def test_a_delayed_message_does_not_hold_up_its_group(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(job=heard)
    request = {"function_id": "job", "queue": "lines", "payload": {"g": 1, "n": 1}, "delay_ms": 600_000}
    await worker.trigger("chain::delay", request)
    await result(worker, await worker.enqueue("job", {"g": 1, "n": 2}, "lines"))
    assert heard.of("n") == [2]
    late = await worker.trigger("chain::delay", request | {"payload": {"g": 1, "n": 3}, "delay_ms": 1})
    await result(worker, late["messageReceiptId"])
    assert heard.of("n") == [2, 3]


async def test_join_runs_a_function_with_the_results_of_all_branches(bridge: RunningBridge) -> None:
    worker, joined = await bridge.connect(), Recording()

    async def fork(call: Delivered) -> None:
        receipts = [await call.enqueue("branch", {"n": n}, "jobs") for n in range(3)]
        await call.trigger(
            "chain::join",
            {"receipts": receipts, "function_id": "joined", "queue": "jobs", "payload": {"order": 7}},
        )

    await worker.offer(fork=fork, branch=answer, joined=joined)
    receipt = await worker.enqueue("fork", {}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    (payload,) = joined.payloads
    assert payload["payload"] == {"order": 7}
    assert [(each["status"], each["result"]) for each in payload["results"]] == [
        ("completed", {"got": {"n": n}}) for n in range(3)
    ]


async def test_a_join_whose_branch_is_lost_says_which_or_runs_another_function(bridge: RunningBridge) -> None:
    worker, joined, failed = await bridge.connect(), Recording(), Recording()

    async def fork(call: Delivered) -> None:
        receipts = [await call.enqueue(name, {}, "jobs") for name in ("branch", "bad")]
        join = {"receipts": receipts, "function_id": "joined", "queue": "jobs"}
        await call.trigger("chain::join", join)
        await call.trigger("chain::join", join | {"on_failure": {"function_id": "failed", "queue": "jobs"}})

    await worker.offer(fork=fork, branch=succeed, bad=Failing(text="boom"), joined=joined, failed=failed)
    await ended(bridge.chain(await worker.enqueue("fork", {}, "jobs")))
    for payload in (*joined.payloads, *failed.payloads):
        assert [each["status"] for each in payload["results"]] == ["completed", "lost"]
        assert payload["results"][1]["error"] == "boom"
    assert (len(joined.payloads), len(failed.payloads)) == (1, 1)


async def test_messages_of_other_chains_and_lanes_can_be_joined(bridge: RunningBridge) -> None:
    worker, asker, joined = await bridge.connect(), await bridge.connect(), Recording()
    gate = Gate()
    await worker.offer(slow=gate, job=answer, joined=joined)
    receipts = [
        await asker.enqueue("slow", {}, "jobs"),
        await asker.enqueue("slow", {"g": "x"}, "lines"),
        await asker.enqueue("job", {"n": 1}, "jobs"),
    ]
    await eventually(lambda: len(gate.begun) == 2)
    join = {"receipts": receipts, "function_id": "joined", "queue": "jobs"}
    waiting = (await asker.trigger("chain::join", join))["receipt"]
    found = await asker.trigger("chain::get", {"receipt": waiting})
    assert found["waiting"][0]["receipts"] == receipts
    gate.open()
    await result(asker, waiting)
    assert [each["result"] for each in joined.payloads[0]["results"]] == ["done", "done", {"got": {"n": 1}}]


async def test_a_join_that_takes_too_long_goes_on_without_the_rest(bridge: RunningBridge) -> None:
    worker, asker, late = await bridge.connect(), await bridge.connect(), Recording()
    gate = Gate()
    await worker.offer(slow=gate, late=late)
    receipt = await asker.enqueue("slow", {}, "jobs")
    join = {"receipts": [receipt], "function_id": "never", "queue": "jobs", "timeout_ms": 1}
    on_failure = {"function_id": "late", "queue": "jobs"}
    await asker.trigger("chain::join", join | {"on_failure": on_failure})
    await bridge.eventually_handled(late.payloads, 1)
    assert late.payloads[0]["results"][0]["status"] == "running"
    gate.open()


async def test_an_event_goes_on_with_one_function(bridge: RunningBridge) -> None:
    worker, human = await bridge.connect(), await bridge.connect()
    approved = Recording()
    asked: list[str] = []

    async def request(call: Delivered) -> None:
        held = await call.trigger(
            "chain::wait_for_event",
            {
                "event": "approved",
                "on_event": {"function_id": "approved", "queue": "jobs"},
                "payload": {"order": 7},
            },
        )
        asked.append(held["receipt"])

    await worker.offer(request=request, approved=approved)
    receipt = await human.enqueue("request", {}, "jobs")
    await eventually(lambda: asked)
    found = await human.trigger("chain::get", {"receipt": receipt})
    assert [(each["receipt"], each["event"]) for each in found["waiting"]] == [(asked[0], "approved")]
    sent = {"receipt": receipt, "event": "approved", "data": {"by": "ada"}}
    assert await human.trigger("chain::send_event", sent) == {"delivered": True}
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert approved.payloads == [
        {
            "event": "approved",
            "receipt": asked[0],
            "timed_out": False,
            "data": {"by": "ada"},
            "payload": {"order": 7},
        }
    ]
    assert await human.trigger("chain::send_event", sent) == {"delivered": False}


async def test_an_event_that_does_not_come_in_time_goes_on_with_another_function(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    escalated = Recording()
    await worker.offer(escalate=escalated)
    held = await worker.trigger(
        "chain::wait_for_event",
        {
            "event": "approved",
            "on_event": {"function_id": "approved", "queue": "jobs"},
            "on_timeout": {"function_id": "escalate", "queue": "jobs"},
            "timeout_ms": 1,
            "payload": {"order": 7},
        },
    )
    ending = await result(worker, held["receipt"])
    assert ending["status"] == "completed"
    assert (escalated.payloads[0]["timed_out"], escalated.payloads[0]["payload"]) == (True, {"order": 7})
    (step,) = (await worker.trigger("chain::get", {"receipt": held["receipt"]}))["steps"]
    assert (step["function_id"], step["status"]) == ("escalate", "completed")


async def test_an_event_that_comes_before_anybody_waits_is_kept(bridge: RunningBridge) -> None:
    worker, human = await bridge.connect(), await bridge.connect()
    gate, went_on = Gate(), Recording()

    async def request(call: Delivered) -> None:
        await gate(call)
        await call.trigger(
            "chain::wait_for_event", {"event": "go", "on_event": {"function_id": "went_on", "queue": "jobs"}}
        )

    await worker.offer(request=request, went_on=went_on)
    receipt = await human.enqueue("request", {}, "jobs")
    await eventually(lambda: gate.begun)
    await human.trigger("chain::send_event", {"receipt": receipt, "event": "go"})
    gate.open()
    await bridge.eventually_handled(went_on.payloads, 1)


async def test_what_waits_survives_the_bridge(start_bridge: StartBridge, queues: dict[str, Any]) -> None:
    bridge = await start_bridge(queues)
    asker = await bridge.connect()
    wait = {"event": "go", "on_event": {"function_id": "went_on", "queue": "jobs"}}
    receipt = (await asker.trigger("chain::wait_for_event", wait))["receipt"]
    await bridge.stop()
    after = await start_bridge(queues)
    worker, went_on = await after.connect(), Recording()
    await worker.offer(went_on=went_on)
    await worker.trigger("chain::send_event", {"receipt": receipt, "event": "go", "data": 1})
    await after.eventually_handled(went_on.payloads, 1)
    assert went_on.payloads[0]["data"] == 1


async def test_a_retried_handler_asks_only_once(bridge: RunningBridge) -> None:
    worker, joined = await bridge.connect(), Recording()
    attempts: list[int] = []

    async def fork(call: Delivered) -> None:
        attempts.append(call.durable["attempt"])
        receipts = [await call.enqueue("branch", {"n": n}, "default") for n in range(2)]
        await call.trigger("chain::join", {"receipts": receipts, "function_id": "joined"})
        if len(attempts) == 1:
            raise CallFailed("invocation_failed", "once more")

    await worker.offer(fork=fork, branch=succeed, joined=joined)
    receipt = await worker.enqueue("fork", {}, "default")
    await ended(bridge.chain(receipt))
    assert attempts == [1, 2]
    assert len(joined.payloads) == 1
