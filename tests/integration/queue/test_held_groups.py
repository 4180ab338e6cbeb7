"""Groups that wait for their dead letter: `on_dead_letter: block` (design: FIFO lanes)."""

from typing import Any

import pytest

from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Failing, Recording
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually
from workflows.contract import Pace, Signal

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    fifo = {"type": "fifo", "message_group_field": "g", "max_retries": 2, "backoff_ms": 1}
    return {
        "jobs": {},
        "strict": {"on_dead_letter": "block", **fifo},
        "lax": fifo,
    }


@pytest.fixture
def pace() -> Pace:
    return Pace(turn_check_ms=200, lane_check_ms=200, longest_check_ms=400)


async def lose_one_of_three(bridge: RunningBridge, worker: FakeSdk, failing: Failing, queue: str) -> str:
    """Enqueue a message that is lost and two behind it; return the receipt of the lost one."""
    await worker.offer(fails=failing)
    receipt = await worker.enqueue("fails", {"g": 1, "n": 0}, queue)
    for n in (1, 2):
        await worker.enqueue("works", {"g": 1, "n": n}, queue)
    await bridge.dead_letters(queue)
    return receipt


async def is_held(bridge: RunningBridge, receipt: str, group: str = "1") -> None:
    """Return as soon as search says that a group waits for a dead letter."""
    query = (
        f"WorkflowType = 'iii.fifo_lane' AND IiiGroup = '{group}' AND IiiWaiting = '{receipt}' "
        f"AND ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{bridge.prefix}.'"
    )

    async def found() -> bool:
        return (await bridge.client.count_workflows(query)).count == 1

    await eventually(found)


async def test_a_group_is_held_until_its_dead_letter_is_redriven_which_goes_first(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    failing, heard = Failing(times=2), Recording()
    await worker.offer(works=heard)
    receipt = await lose_one_of_three(bridge, worker, failing, "strict")
    await is_held(bridge, receipt)
    await worker.enqueue("works", {"g": 2, "n": 9}, "strict")
    await bridge.eventually_handled(heard.payloads, 1)
    assert heard.of("n") == [9]  # no other group waits

    async def redriven(call: Delivered) -> None:
        await heard(call)

    await worker.offer(fails=redriven)
    await worker.trigger("iii::queue::redrive", {"queue": "strict"})
    await bridge.eventually_handled(heard.payloads, 4)
    assert heard.of("n") == [9, 0, 1, 2]
    lane = bridge.lane("strict", "1")
    description = await ended(lane)
    assert "IiiWaiting" not in {
        pair.key.name for pair in description.typed_search_attributes.search_attributes
    }


async def test_a_turn_that_is_returned_late_does_not_end_the_hold(bridge: RunningBridge) -> None:
    """A chain answers so when the lane asked it after its step was lost."""
    worker = await bridge.connect()
    failing, heard = Failing(times=2), Recording()
    await worker.offer(works=heard)
    receipt = await lose_one_of_three(bridge, worker, failing, "strict")
    await is_held(bridge, receipt)
    await bridge.lane("strict", "1").signal(Signal.TURN_ENDED, receipt)
    await worker.trigger("iii::queue::redrive", {"queue": "strict"})
    await bridge.eventually_handled(heard.payloads, 2)
    assert [call.function_id for call in worker.delivered][-3:] == ["fails", "works", "works"]


async def test_a_held_group_goes_on_when_its_dead_letter_is_discarded(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(works=heard)
    receipt = await lose_one_of_three(bridge, worker, Failing(), "strict")
    await is_held(bridge, receipt)
    await worker.trigger("iii::queue::discard_message", {"queue": "strict", "message_id": receipt})
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [1, 2]


async def test_a_step_of_a_chain_holds_its_group_too(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing, heard = Failing(times=2), Recording()

    async def parent(call: Delivered) -> None:
        await call.enqueue("fails", {"g": 1}, "strict")

    await worker.offer(parent=parent, fails=failing, works=heard)
    await worker.enqueue("parent", {}, "jobs")
    (letter,) = await bridge.dead_letters("strict")
    await worker.enqueue("works", {"g": 1, "n": 1}, "strict")
    await is_held(bridge, letter["id"])
    assert heard.payloads == []
    await worker.trigger("iii::queue::redrive_message", {"queue": "strict", "message_id": letter["id"]})
    await bridge.eventually_handled(heard.payloads, 1)
    assert len(failing.calls) == 3


async def test_a_redriven_message_that_is_lost_again_holds_the_group_again(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    failing, heard = Failing(times=4), Recording()
    await worker.offer(works=heard)
    receipt = await lose_one_of_three(bridge, worker, failing, "strict")
    await worker.trigger("iii::queue::redrive", {"queue": "strict"})
    await eventually(lambda: len(failing.calls) == 4)
    await bridge.dead_letters("strict")
    await is_held(bridge, receipt)
    assert heard.payloads == []
    await worker.trigger("iii::queue::redrive", {"queue": "strict"})
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [1, 2]


async def test_a_hold_outlives_the_bridge_and_the_history(
    start_bridge: StartBridge, queues: dict[str, Any]
) -> None:
    first = await start_bridge(queues)
    worker = await first.connect()
    receipt = await lose_one_of_three(first, worker, Failing(), "strict")
    await is_held(first, receipt)
    await first.stop()

    short = Pace(turn_check_ms=200, lane_check_ms=50, longest_check_ms=50, events_per_run=20)
    second = await start_bridge(queues, pace=short)
    worker = await second.connect()
    heard = Recording()
    await worker.offer(works=heard)
    for n in range(3, 12):  # joined by a bridge whose lanes continue as new early
        await worker.enqueue("works", {"g": 1, "n": n}, "strict")
    await is_held(second, receipt)
    assert heard.payloads == []
    await worker.trigger("iii::queue::discard_message", {"queue": "strict", "message_id": receipt})
    await second.eventually_handled(heard.payloads, 11)
    assert heard.of("n") == list(range(1, 12))


@pytest.mark.parametrize(
    "pace", [Pace(turn_check_ms=200, lane_check_ms=50, longest_check_ms=50, events_per_run=30)]
)
async def test_a_lane_that_goes_on_in_a_fresh_history_keeps_the_hold(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(works=heard)
    receipt = await lose_one_of_three(bridge, worker, Failing(), "strict")
    lane = bridge.lane("strict", "1")

    async def has_continued() -> bool:
        query = f"WorkflowId = '{lane.id}' AND ExecutionStatus = 'ContinuedAsNew'"
        return (await bridge.client.count_workflows(query)).count > 0

    await eventually(has_continued)
    await is_held(bridge, receipt)
    assert heard.payloads == []
    await worker.trigger("iii::queue::discard_message", {"queue": "strict", "message_id": receipt})
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [1, 2]


@pytest.mark.parametrize("end", ["terminate", "cancel"])
async def test_a_dead_letter_that_is_gone_does_not_hold_its_group_for_ever(
    bridge: RunningBridge, end: str
) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(works=heard)
    receipt = await lose_one_of_three(bridge, worker, Failing(), "strict")
    await is_held(bridge, receipt)
    await getattr(bridge.dead_letter("strict", receipt), end)()
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [1, 2]


async def test_without_the_key_a_group_goes_on_after_a_dead_letter(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(works=heard)
    await lose_one_of_three(bridge, worker, Failing(), "lax")
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [1, 2]
