"""Receipts and refusals (spec 02 §2), and that nothing is sent twice (design: which chain)."""

import uuid
from typing import Any

import pytest

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Failing, Recording, succeed
from tests.support.running_bridge import RunningBridge, deliveries, ended, events

pytestmark = pytest.mark.integration


@pytest.fixture
def queues() -> dict[str, Any]:
    return {
        "jobs": {"max_retries": 3, "backoff_ms": 1},
        "lines": {"type": "fifo", "message_group_field": "id", "max_retries": 3, "backoff_ms": 1},
    }


async def refusal(worker: FakeSdk, data: Any, queue: str, function_id: str = "f") -> str:
    with pytest.raises(CallFailed) as failed:
        await worker.enqueue(function_id, data, queue)
    assert failed.value.code == "enqueue_error"
    return failed.value.message


async def test_a_receipt_is_a_fresh_uuid(bridge: RunningBridge) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    await worker.offer(f=succeed)
    receipts = [await sender.enqueue("f", {}, "jobs") for _ in range(2)]
    assert [str(uuid.UUID(each, version=4)) for each in receipts] == receipts
    assert len(set(receipts)) == 2


async def test_an_unknown_queue_is_named_with_those_that_exist(bridge: RunningBridge) -> None:
    text = await refusal(await bridge.connect(), {}, "nowhere")
    assert "Queue 'nowhere' not found" in text
    assert "default, jobs, lines" in text


@pytest.mark.parametrize("data", [{"other": 1}, [1], "text", None])
async def test_a_fifo_message_without_its_group_is_refused(bridge: RunningBridge, data: Any) -> None:
    text = await refusal(await bridge.connect(), data, "lines")
    assert "'lines'" in text
    assert "'id'" in text


async def test_a_fifo_message_with_a_null_group_is_refused(bridge: RunningBridge) -> None:
    assert "must not be null" in await refusal(await bridge.connect(), {"id": None}, "lines")


async def test_a_payload_too_large_for_temporal_is_refused(bridge: RunningBridge) -> None:
    text = await refusal(await bridge.connect(), {"blob": "x" * 2_100_000}, "jobs")
    assert "2100012 bytes" in text
    assert "reference" in text


async def test_the_largest_payload_that_is_accepted_also_fits_into_a_dead_letter(
    bridge: RunningBridge,
) -> None:
    worker = await bridge.connect()
    await worker.offer(f=Failing(text="x" * 10_000))
    largest = {"blob": "x" * (2 * 1024 * 1024 - 160 * 1024 - 12)}
    assert "bytes" in await refusal(worker, {"blob": largest["blob"] + "x"}, "jobs")
    await worker.enqueue("f", largest, "jobs")
    (letter,) = await bridge.dead_letters("jobs")
    assert letter["payload"] == largest


async def test_a_function_id_of_the_bridges_own_workflows_is_refused(bridge: RunningBridge) -> None:
    text = await refusal(await bridge.connect(), {}, "jobs", function_id="iii.fifo_lane")
    assert "rename it" in text


@pytest.mark.parametrize("group", ["", "a/b c%d", "ä" * 300, 7, 1.5, True, {"k": [1]}, "x" * 5000])
async def test_any_group_value_makes_a_lane(bridge: RunningBridge, group: Any) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(f=heard)
    for n in range(2):
        await worker.enqueue("f", {"id": group, "n": n}, "lines")
    await bridge.eventually_handled(heard.payloads, 2)
    assert heard.of("n") == [0, 1]


async def test_any_json_value_arrives_as_it_was_sent(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    heard = Recording()
    await worker.offer(f=heard)
    values: list[Any] = [None, False, 0, "", [], {}, "ü", {"a": [1, {"b": None}]}, 12345678901234567890]
    for value in values:
        await worker.enqueue("f", value, "jobs")
    await bridge.eventually_handled(heard.payloads, len(values))
    assert sorted(map(repr, heard.payloads)) == sorted(map(repr, values))


async def test_a_retried_attempt_gets_equal_receipts_and_adds_no_step(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipts: list[str] = []
    failures = Failing(times=2)

    async def parent(call: Delivered) -> None:
        receipts.append(await call.enqueue("child", {"same": 1}, "jobs"))
        await failures(call)

    await worker.offer(parent=parent, child=succeed)
    receipt = await worker.enqueue("parent", {}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is not None
    assert await bridge.chain(receipt).result() == "2 steps completed"
    assert len(receipts) == 3
    assert len(set(receipts)) == 1
    assert deliveries(await events(bridge.chain(receipt))) == ["parent", "child"]


async def test_a_retried_attempt_does_not_disturb_the_lane_of_a_step_that_has_run(
    bridge: RunningBridge,
) -> None:
    worker, sender = await bridge.connect(), await bridge.connect()
    heard = Recording()
    attempts = 0

    async def parent(call: Delivered) -> None:
        nonlocal attempts
        attempts += 1
        await call.enqueue("child", {"id": 1}, "lines")
        await bridge.eventually_handled(heard.payloads, 1)
        if attempts == 1:
            raise RuntimeError("after the child has run")
        await sender.enqueue("child", {"id": 1, "next": True}, "lines")
        await bridge.eventually_handled(heard.payloads, 2)  # while this chain is open

    await worker.offer(parent=parent, child=heard)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await ended(bridge.chain(receipt))
    assert heard.payloads == [{"id": 1}, {"id": 1, "next": True}]
    assert attempts == 2


async def test_two_equal_messages_of_one_attempt_are_two_steps(bridge: RunningBridge) -> None:
    worker = await bridge.connect()

    async def parent(call: Delivered) -> None:
        for _ in range(2):
            await call.enqueue("child", {"same": 1}, "jobs")

    await worker.offer(parent=parent, child=succeed)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await ended(bridge.chain(receipt))
    assert deliveries(await events(bridge.chain(receipt))) == ["parent", "child", "child"]


async def test_a_call_made_for_a_job_belongs_to_its_chain(bridge: RunningBridge) -> None:
    worker, other = await bridge.connect(), await bridge.connect()

    async def helper(call: Delivered) -> str:
        return await call.enqueue("child", {}, "jobs")

    async def parent(call: Delivered) -> None:
        await call.trigger("helper", {})

    await other.offer(helper=helper)
    await worker.offer(parent=parent, child=succeed)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await ended(bridge.chain(receipt))
    assert deliveries(await events(bridge.chain(receipt))) == ["parent", "child"]


async def test_a_message_enqueued_after_its_chain_ended_begins_one_of_its_own(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    kept: list[Delivered] = []

    async def parent(call: Delivered) -> None:
        kept.append(call)
        worker.drop_answers_to.add(call.invocation_id)

    await worker.offer(parent=parent, child=succeed)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await bridge.eventually_handled(kept, 1)
    await bridge.chain(receipt).terminate()
    late = await kept[0].enqueue("child", {}, "jobs")

    description = await ended(bridge.chain(late))
    assert description.workflow_type == "child"
    assert worker.delivered[-1].durable["chain_id"] == receipt


async def test_what_a_handler_enqueues_beyond_the_limit_becomes_chains_of_its_own(start_bridge: Any) -> None:
    bridge = await start_bridge(
        {"jobs": {}, "lines": {"type": "fifo", "message_group_field": "id"}}, max_steps_per_handler=3
    )
    worker = await bridge.connect()
    receipts: list[str] = []
    failures = Failing(times=1)
    heard = Recording()

    async def parent(call: Delivered) -> None:
        receipts.extend([await call.enqueue("child", {"n": n}, "jobs") for n in range(4)])
        receipts.append(await call.enqueue("child", {"n": 4, "id": 1}, "lines"))
        await failures(call)

    await worker.offer(parent=parent, child=heard)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await ended(bridge.chain(receipt))
    assert deliveries(await events(bridge.chain(receipt))) == ["parent", *["child"] * 3]
    assert receipts[:5] == receipts[5:]
    for own in receipts[3:5]:
        assert (await ended(bridge.chain(own))).workflow_type == "child"
    await bridge.eventually_handled(heard.payloads, 5)
    assert sorted(heard.of("n")) == list(range(5))
    assert {each.durable["chain_id"] for each in worker.delivered} == {receipt}


async def test_large_messages_of_one_attempt_become_chains_of_their_own(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    receipts: list[str] = []

    async def parent(call: Delivered) -> None:
        blob = "x" * 20_000
        receipts.extend([await call.enqueue("child", {"n": n, "blob": blob}, "jobs") for n in range(2)])

    await worker.offer(parent=parent, child=succeed)
    receipt = await worker.enqueue("parent", {}, "jobs")
    await ended(bridge.chain(receipt))
    assert deliveries(await events(bridge.chain(receipt))) == ["parent", "child"]
    assert (await ended(bridge.chain(receipts[1]))).workflow_type == "child"


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"tenant": "t-1", "nested": {"a": [1]}}, {"tenant": "t-1", "nested": {"a": [1]}}),
        ("plain", {"value": "plain"}),
        ([1, 2], {"value": [1, 2]}),
        (None, {}),
    ],
)
async def test_the_enqueuers_metadata_survives_beside_ours(
    bridge: RunningBridge, metadata: Any, kept: dict[str, Any]
) -> None:
    worker = await bridge.connect()
    await worker.offer(f=succeed)
    receipt = await worker.enqueue("f", {}, "jobs", metadata=metadata)
    description = await ended(bridge.chain(receipt))

    (delivered,) = worker.delivered
    assert delivered.metadata == {
        **kept,
        "iii-temporal": {
            "chain_id": receipt,
            "workflow_id": bridge.chain(receipt).id,
            "run_id": description.run_id,
            "namespace": "default",
            "step": "f",
            "receipt": receipt,
            "queue": "jobs",
            "attempt": 1,
            "max_attempts": 3,
            "idempotency_key": receipt,
        },
    }


async def test_a_delivery_names_its_function_in_the_baggage_of_the_enqueuer(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    await worker.offer(mail__send=succeed)
    baggage = "tenant=7,iii.function.id=orders::create,iii.tag.kind=enqueue"
    await ended(bridge.chain(await worker.enqueue("mail::send", {}, "jobs", baggage=baggage)))

    (delivered,) = worker.delivered
    assert (delivered.baggage or "").split(",")[:-1] == ["tenant=7", "iii.function.id=mail::send"]
