"""Where a message goes, and which receipt it gets; the way there is a fake (spec 02 §2)."""

import asyncio
import itertools
import json
import uuid
from typing import Any

import msgspec
import pytest
from temporalio.service import RPCError, RPCStatusCode

from bridge.engine.calls import Call, Job
from bridge.errors import EnqueueError
from bridge.temporal.connection import TemporalAddress
from bridge.temporal.dedupe_markers import DedupeKey
from bridge.temporal.enqueuer import EnqueueSettings, TemporalEnqueuer
from bridge.temporal.messages import NamedQueue
from workflows.contract import Message, RetryRules, Ticket

STEP = str(uuid.UUID(int=7))
HERE = TemporalAddress("temporal:7233", "default")
Sent = tuple[str, Any]


class FakeSender:
    """Notes what is sent; fails or hangs when told."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.fails: dict[str, RPCStatusCode] = {}
        self.hangs = False

    def chain_of(self, message: Message) -> str:
        return f"chain/{message.home}"

    def is_watched(self, _: Message) -> bool:
        return False

    def lane_of(self, queue: str, group: str) -> str:
        return f"fifo/{queue}/{group}"

    def ticket_of(self, message: Message) -> Ticket | None:
        group = message.group
        return Ticket(message.receipt, message.queue, group, self.chain_of(message)) if group else None

    async def start_chain(self, message: Message, _: bytes) -> None:
        await self._note("start chain", message)

    async def add_step(self, message: Message, _: bytes) -> None:
        await self._note("add step", message)

    async def add_step_for_lane(self, message: Message, _: bytes, *, lane_workflow_id: str) -> None:
        await self._note(f"add step for {lane_workflow_id}", message)

    async def join_message(self, message: Message, group: str, _: bytes) -> None:
        await self._note(f"join {group}", message)

    async def take_turn(self, ticket: Ticket) -> None:
        await self._note("take turn", ticket)

    async def _note(self, what: str, subject: Any) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if status := self.fails.get(what):
            raise RPCError("as told", status, b"")
        self.sent.append((what, subject))

    @property
    def ways(self) -> list[str]:
        return [what for what, _ in self.sent]


class FakeMarkers:
    """Gives a value to who asks first; notes it among what is sent."""

    def __init__(self, sender: FakeSender) -> None:
        self.sender = sender
        self.taken: dict[DedupeKey, str] = {}

    async def claim(self, message: Message, _: bytes, key: DedupeKey) -> str:
        self.sender.sent.append(("claim", message))
        return self.taken.setdefault(key, message.receipt)

    async def release(self, message: Message, _: DedupeKey) -> None:
        self.sender.sent.append(("release", message))


class FakeLateCalls:
    """Answers for the chains: wants every message under its own receipt unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[int, str | None] = {}

    async def wanted(self, _: Job, receipt: str) -> str | None:
        self.asked.append(receipt)
        return self.answers.get(len(self.asked), receipt)


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def late_calls() -> FakeLateCalls:
    return FakeLateCalls()


@pytest.fixture
def enqueuer(sender: FakeSender, late_calls: FakeLateCalls) -> TemporalEnqueuer:
    numbers = itertools.count(1)
    return TemporalEnqueuer(
        sender,  # type: ignore[arg-type]  # fakes of the same shape
        late_calls,  # type: ignore[arg-type]
        FakeMarkers(sender),  # type: ignore[arg-type]
        HERE,
        {
            "jobs": NamedQueue(RetryRules()),
            "lines": NamedQueue(RetryRules(), group_field="g"),
            "once": NamedQueue(RetryRules(), dedupe_field="id"),
            "once-lines": NamedQueue(RetryRules(), group_field="g", dedupe_field="id"),
            "later-lines": NamedQueue(RetryRules(), group_field="g", delay_field="d"),
        },
        settings=EnqueueSettings(timeout_ms=50, steps_per_handler=3),
        new_id=lambda: str(uuid.UUID(int=next(numbers))),
        now_ms=lambda: 0,
    )


def call(data: Any, job: Job | None = None) -> Call:
    return Call("f", msgspec.Raw(json.dumps(data).encode()), job=job)


def job(workflow_id: str = "chain/home", **extra: Any) -> Job:
    return Job(chain_id=STEP, home="home", workflow_id=workflow_id, receipt=STEP, keeper=HERE.keeper, **extra)


async def test_outside_any_job_a_message_begins_a_chain_or_joins_a_lane(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    await enqueuer.enqueue(call({}), "jobs")
    await enqueuer.enqueue(call({"g": "a"}), "lines")
    await enqueuer.enqueue(call({"g": "a", "blob": "x" * 2000}), "lines")
    assert sender.ways == ["start chain", "join a", "start chain", "take turn"]


async def test_inside_a_job_a_message_is_a_step_of_its_chain_before_it_joins_a_lane(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    await enqueuer.enqueue(call({"g": 1}, job()), "lines")
    await enqueuer.enqueue(call({}, job(workflow_id="fifo/lane")), "jobs")
    assert sender.ways == ["add step", "take turn", "add step for fifo/lane"]
    assert sender.sent[0][1].parent == STEP


async def test_the_first_message_with_a_value_is_claimed_sent_and_released(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    first = await enqueuer.enqueue(call({"id": 1, "g": "a"}), "once-lines")
    assert sender.ways == ["claim", "start chain", "take turn", "release"]
    assert await enqueuer.enqueue(call({"id": 1, "g": "b"}), "once-lines") == first
    assert sender.ways[4:] == ["claim"]


async def test_a_second_attempt_of_a_job_that_was_lost_after_the_claim_sends_its_message(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    sender.fails["start chain"] = RPCStatusCode.UNAVAILABLE
    with pytest.raises(EnqueueError):
        await enqueuer.enqueue(call({"id": 1}, job()), "once")
    sender.fails.clear()
    sender.sent.clear()
    receipt = await enqueuer.enqueue(call({"id": 1}, job()), "once")
    assert sender.ways == ["claim", "start chain", "release"]
    own = sender.sent[1][1]
    assert (own.receipt, own.home, own.chain_id, own.parent) == (receipt, receipt, STEP, STEP)


async def test_a_delayed_message_of_a_group_waits_in_a_chain_which_joins_the_lane_when_it_is_due(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    await enqueuer.enqueue(call({"g": 1, "d": 500}), "later-lines")
    assert sender.ways == ["start chain"]
    assert sender.sent[0][1].not_before_ms == 500


async def test_a_second_attempt_makes_the_receipts_of_the_first(enqueuer: TemporalEnqueuer) -> None:
    async def one_attempt() -> list[str]:
        attempt = job()
        return [await enqueuer.enqueue(call(data, attempt), "jobs") for data in ({}, {"n": 1}, {})]

    first = await one_attempt()
    assert first == await one_attempt()
    assert len(set(first)) == 3


async def test_what_was_enqueued_before_a_redrive_is_not_sent_again(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    receipt = await enqueuer.enqueue(call({}, job()), "jobs")
    sender.sent.clear()
    assert await enqueuer.enqueue(call({}, job(children=frozenset([receipt]))), "jobs") == receipt
    assert sender.sent == []


async def test_a_fan_out_beyond_the_limit_is_not_put_on_one_chain(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    attempt = job()
    for n in range(5):
        await enqueuer.enqueue(call({"n": n}, attempt), "jobs")
    assert sender.ways == ["add step"] * 3 + ["start chain"] * 2
    own = sender.sent[-1][1]
    assert (own.home, own.chain_id) == (own.receipt, STEP)


async def test_only_the_first_message_of_an_attempt_may_be_large(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    attempt = job()
    for n in range(2):
        await enqueuer.enqueue(call({"n": n, "blob": "x" * 20_000}, attempt), "jobs")
    assert sender.ways == ["add step", "start chain"]


@pytest.mark.parametrize("workflow_id", ["chain/home", "fifo/lane"])
async def test_a_message_of_a_job_that_has_ended_begins_a_chain(
    enqueuer: TemporalEnqueuer, sender: FakeSender, workflow_id: str
) -> None:
    for way in ("add step", "add step for fifo/lane"):
        sender.fails[way] = RPCStatusCode.NOT_FOUND
    await enqueuer.enqueue(call({"g": 1}, job(workflow_id)), "lines")
    assert sender.ways == ["start chain", "take turn"]


async def test_a_message_that_the_chain_of_an_ended_job_has_had_is_not_sent_again(
    enqueuer: TemporalEnqueuer, sender: FakeSender, late_calls: FakeLateCalls
) -> None:
    sender.fails["add step"] = RPCStatusCode.NOT_FOUND
    late_calls.answers[1] = None
    assert await enqueuer.enqueue(call({}, job()), "jobs") == late_calls.asked[0]
    assert sender.ways == []


async def test_a_chain_is_asked_about_a_message_of_a_given_up_attempt_before_it_gets_it(
    enqueuer: TemporalEnqueuer, sender: FakeSender, late_calls: FakeLateCalls
) -> None:
    late_calls.answers = {1: None, 3: STEP}
    attempt = job(is_doubtful=True)
    receipts = [await enqueuer.enqueue(call({"n": n}, attempt), "jobs") for n in range(3)]
    assert receipts == [*late_calls.asked[:2], STEP]
    assert [message.receipt for _, message in sender.sent] == receipts[1:]


async def test_what_a_handler_enqueued_through_bridges_that_are_gone_counts_for_its_fan_out(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    attempt = job(is_doubtful=True, enqueued_before=2)
    await enqueuer.enqueue(call({"n": 3}, attempt), "jobs")
    attempt.enqueued_before = 3
    await enqueuer.enqueue(call({"n": 4}, attempt), "jobs")
    assert sender.ways == ["add step", "start chain"]


async def test_a_lane_that_cannot_be_joined_does_not_cost_the_receipt(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    sender.fails["take turn"] = RPCStatusCode.UNAVAILABLE
    assert await enqueuer.enqueue(call({"g": 1}, job()), "lines")
    assert sender.ways == ["add step"]


async def test_no_answer_is_no_receipt(enqueuer: TemporalEnqueuer, sender: FakeSender) -> None:
    sender.hangs = True
    with pytest.raises(EnqueueError, match="temporal:7233 did not answer within 50 ms"):
        await enqueuer.enqueue(call({}), "jobs")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (RPCStatusCode.UNAVAILABLE, "did not answer"),
        (RPCStatusCode.INVALID_ARGUMENT, "refused the message .INVALID_ARGUMENT.: as told"),
    ],
)
async def test_an_error_of_temporal_says_what_to_do(
    enqueuer: TemporalEnqueuer, sender: FakeSender, status: RPCStatusCode, text: str
) -> None:
    sender.fails["start chain"] = status
    with pytest.raises(EnqueueError, match=text):
        await enqueuer.enqueue(call({}), "jobs")


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1, "b": 2}, {"b": 2, "a": 1}), (7, 7), ("x" * 900, "x" * 900)]
)
async def test_equal_groups_share_a_lane(
    enqueuer: TemporalEnqueuer, sender: FakeSender, one: Any, other: Any
) -> None:
    for group in (one, other):
        await enqueuer.enqueue(call({"g": group}), "lines")
    assert len({message.group for _, message in sender.sent}) == 1


async def test_long_groups_that_differ_do_not_share_a_lane(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    for end in ("a", "b"):
        await enqueuer.enqueue(call({"g": "x" * 900 + end}), "lines")
    assert len({message.group for _, message in sender.sent}) == 2


async def test_what_the_handler_of_a_chain_in_another_namespace_enqueues_becomes_a_chain_of_its_own_here(
    enqueuer: TemporalEnqueuer, sender: FakeSender
) -> None:
    elsewhere = Job(chain_id=STEP, home="home", workflow_id="chain/home", receipt=STEP, keeper="other/ns")

    first = await enqueuer.enqueue(call({}, elsewhere), "jobs")

    ((how, message),) = sender.sent
    assert (how, message.receipt, message.home, message.chain_id) == ("start chain", first, first, STEP)
