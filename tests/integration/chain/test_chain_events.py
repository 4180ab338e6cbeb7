"""The trigger type `chain`: functions are told what happens in chains (docs/chains.md)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Failing, Recording, succeed
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually
from workflows.contract import Pace

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 1},
        "twice": {"max_retries": 2, "backoff_ms": 1},
        "lines": {"type": "fifo", "message_group_field": "g"},
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(provider_check_ms=200, turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


async def watch(worker: FakeSdk, function_id: str, **config: Any) -> None:
    """Bind a `chain` trigger; returns when the bridge has it."""
    await worker.send(
        {
            "type": "registertrigger",
            "id": f"watch {function_id}",
            "trigger_type": "chain",
            "function_id": function_id,
            "config": config,
        }
    )
    await worker.settled()


def heard_by(recording: Recording) -> list[tuple[str, str | None]]:
    return [(event["event"], event.get("step", {}).get("function_id")) for event in recording.payloads]


def of(heard: list[tuple[str, str | None]], function_id: str) -> list[str]:
    """Return the events of one step: those of two steps that run at once may be told in either order."""
    return [event for event, step in heard if step == function_id]


async def eventually_heard(recording: Recording, last: str) -> list[tuple[str, str | None]]:
    await eventually(lambda: any(event["event"] == last for event in recording.payloads))
    return heard_by(recording)


async def test_every_event_of_a_chain_is_told_in_order(bridge: RunningBridge) -> None:
    worker, events = await bridge.connect(), Recording()

    async def first(call: Delivered) -> dict[str, int]:
        await call.enqueue("second", {}, "twice")
        return {"n": 1}

    await worker.register({"first": first, "second": Failing(1), "events": events})
    await watch(worker, "events")
    receipt = await worker.enqueue("first", {}, "jobs")
    heard = await eventually_heard(events, "chain:complete")
    assert of(heard, "first") == ["step:start", "step:complete"]
    assert of(heard, "second") == ["step:start", "step:error", "step:retry", "step:complete"]
    assert (heard[0], heard[-1]) == (("step:start", "first"), ("chain:complete", None))
    assert [event["sequence"] for event in events.payloads] == list(range(1, 8))
    assert {event["chain_id"] for event in events.payloads} == {receipt}
    completed = events.payloads[heard.index(("step:complete", "first"))]
    failed = events.payloads[heard.index(("step:error", "second"))]
    assert completed["step"] == {
        "receipt": receipt,
        "function_id": "first",
        "queue": "jobs",
        "result": {"n": 1},
    }
    assert failed["error"] == {"code": "invocation_failed", "message": "boom"}
    assert failed["step"]["attempt"] == 1


async def test_a_lost_and_compensated_chain_is_told_of(bridge: RunningBridge) -> None:
    worker, events = await bridge.connect(), Recording()

    async def first(call: Delivered) -> None:
        await call.enqueue("second", {}, "jobs")

    await worker.register({"first": first}, {"compensate": "undo"})
    await worker.register({"second": Failing(), "undo": succeed, "events": events})
    await watch(worker, "events")
    await worker.enqueue("first", {}, "jobs")
    heard = await eventually_heard(events, "chain:failed")
    assert of(heard, "first") == ["step:start", "step:complete"]
    assert of(heard, "second") == ["step:start", "step:error", "dead-letter"]
    assert heard[-2:] == [("compensated", "undo"), ("chain:failed", None)]


async def test_a_trigger_hears_only_of_the_events_and_functions_it_names(bridge: RunningBridge) -> None:
    worker, ends, seconds = await bridge.connect(), Recording(), Recording()

    async def first(call: Delivered) -> None:
        await call.enqueue("second", {}, "jobs")

    await worker.register({"first": first, "second": succeed, "ends": ends, "seconds": seconds})
    await watch(worker, "ends", events=["chain:complete"])
    await watch(worker, "seconds", function_ids=["second"])
    await worker.enqueue("first", {}, "jobs")
    await eventually(lambda: len(seconds.payloads) == 2 and ends.payloads)
    assert heard_by(ends) == [("chain:complete", None)]
    assert heard_by(seconds) == [("step:start", "second"), ("step:complete", "second")]


async def test_messages_of_fifo_queues_are_told_of_too(bridge: RunningBridge) -> None:
    worker, events = await bridge.connect(), Recording()
    await worker.register({"job": succeed, "events": events})
    await watch(worker, "events", events=["chain:complete"])
    await worker.enqueue("job", {"g": 1}, "lines")
    await eventually_heard(events, "chain:complete")


async def test_a_function_that_is_told_and_enqueues_is_not_told_of_that(bridge: RunningBridge) -> None:
    worker, heard, told = await bridge.connect(), Recording(), Recording()

    async def events(call: Delivered) -> None:
        await heard(call)
        await call.enqueue("notify", {}, "jobs")

    await worker.register({"job": succeed, "notify": told, "events": events})
    await watch(worker, "events", events=["chain:complete"])
    await worker.enqueue("job", {}, "jobs")
    await bridge.eventually_handled(told.payloads, 1)
    after = await worker.enqueue("job", {}, "jobs")
    await ended(bridge.chain(after))
    await bridge.eventually_handled(told.payloads, 2)
    assert [event["function_id"] for event in heard.payloads] == ["job", "job"]


async def test_a_slow_watcher_does_not_hold_up_the_chain(bridge: RunningBridge) -> None:
    worker, release = await bridge.connect(), Recording()
    waiting: list[Callable[[], None]] = []

    async def slow(call: Delivered) -> None:
        waiting.append(call.sdk.drop)
        await eventually(lambda: release.payloads)

    await worker.register({"job": succeed, "slow": slow, "release": release})
    await watch(worker, "slow")
    receipt = await worker.enqueue("job", {}, "jobs")
    await ended(bridge.chain(receipt))
    await eventually(lambda: waiting)
    assert release.payloads == []
    await worker.trigger("release", {})


async def test_events_wait_for_a_watcher_that_is_away(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    bridge = await start_bridge(queues)
    watcher, worker, events = await bridge.connect(), await bridge.connect(), Recording()
    await watcher.register({"events": succeed})
    await worker.register({"job": succeed})
    await watch(watcher, "events", events=["chain:complete"])
    await ended(bridge.chain(await worker.enqueue("job", {}, "jobs")))
    watcher.drop()
    receipt = await worker.enqueue("job", {"n": 2}, "jobs")
    await ended(bridge.chain(receipt))
    back = await bridge.connect()
    await back.register({"events": events})
    await watch(back, "events", events=["chain:complete"])
    await eventually(lambda: receipt in [event["chain_id"] for event in events.payloads])


async def test_a_configuration_that_names_an_unknown_event_is_refused(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.register({"events": succeed})
    with pytest.raises(CallFailed, match="chain:complete") as refused:
        await worker.trigger(
            "engine::register_trigger",
            {"trigger_type": "chain", "function_id": "events", "config": {"events": ["odd"]}},
        )
    assert "trigger" in refused.value.code
