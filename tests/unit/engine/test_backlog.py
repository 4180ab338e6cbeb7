"""What a worker asks of the bridge itself is bounded; neither side waits for the other for ever."""

import asyncio

import msgspec
import pytest

from bridge.engine import caller as caller_module
from bridge.engine.backlog import Backlog, BacklogLimits
from bridge.engine.calls import Call
from bridge.protocol.payload import NULL
from tests.support.waiting import eventually
from tests.unit.engine.peers import Bridge, Peer, uuid

ENQUEUE = {"type": "enqueue", "queue": "q"}


class Gate:
    """A built-in function and a queue that let nobody pass until they are opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.arrived: list[bytes] = []

    async def enqueue(self, call: Call, _: str) -> str:
        await self.run(call)
        return uuid(42)

    async def run(self, call: Call) -> msgspec.Raw:
        self.arrived.append(bytes(call.data))
        await self.opened.wait()
        return NULL


@pytest.fixture
def gate(bridge: Bridge) -> Gate:
    gate = Gate()
    bridge.engine.enqueuer = gate
    bridge.engine.add_builtin("gate", gate.run, owner_name="test")
    return gate


@pytest.fixture
def peer(bridge: Bridge) -> Peer:
    peer = bridge.connect_greeted()
    peer.worker.backlog = Backlog(BacklogLimits(calls=4, size_bytes=1000))
    return peer


def ask(peer: Peer, number: int, function_id: str = "gate", **fields: object) -> None:
    peer.say("invokefunction", function_id=function_id, invocation_id=uuid(number), data=number, **fields)


def codes(peer: Peer) -> dict[str, str | None]:
    answers = peer.take("invocationresult")
    return {each["invocation_id"]: each.get("error", {}).get("code") for each in answers}


@pytest.mark.parametrize(
    ("fields", "code"), [({}, "too_many_calls"), ({"action": ENQUEUE}, "enqueue_error")], ids=str
)
async def test_a_call_beyond_the_limit_is_refused_and_those_before_it_are_not(
    bridge: Bridge, gate: Gate, peer: Peer, fields: dict[str, object], code: str
) -> None:
    for number in range(6):
        ask(peer, number, **fields)
    await bridge.settle()
    assert codes(peer) == {uuid(4): code, uuid(5): code}

    gate.opened.set()
    await bridge.settle()
    assert codes(peer) == {uuid(number): None for number in range(4)}
    ask(peer, 6, **fields)
    await bridge.settle()
    assert codes(peer) == {uuid(6): None}


async def test_a_refusal_names_the_limit(bridge: Bridge, gate: Gate, peer: Peer) -> None:
    peer.say("invokefunction", function_id="gate", data="x" * 1000)
    ask(peer, 1)

    message = peer.take_one("invocationresult")["error"]["message"]
    assert "1 calls of this worker with 1002 bytes are in progress" in message
    assert "at most 4 with 1000" in message
    await bridge.settle()
    assert len(gate.arrived) == 1


async def test_a_void_call_beyond_the_limit_is_dropped_without_an_answer(
    bridge: Bridge, gate: Gate, peer: Peer
) -> None:
    for number in range(6):
        ask(peer, number, action={"type": "void"})
    gate.opened.set()
    await bridge.settle()

    assert len(gate.arrived) == 4
    assert peer.take() == []


@pytest.mark.usefixtures("gate")
async def test_a_full_backlog_holds_up_nothing_that_others_do_or_wait_for(
    namespaced: Bridge,
) -> None:
    gate = Gate()
    namespaced.engine.add_builtin("gate", gate.run, owner_name="test")
    peer, other = namespaced.connect_greeted(), namespaced.connect_greeted()
    await other.introduce()
    other.say("registerfunction", id="other")
    peer.worker.backlog = Backlog(BacklogLimits(calls=1))
    ask(peer, 1)

    ask(other, 2)  # another worker has a backlog of its own
    ask(peer, 3, "other")  # and calls of workers add to none
    asked = other.take_one("invokefunction")
    peer.say("registerfunction", id="own")
    await peer.introduce(name="late")  # the SDK says who it is when everything else is said
    ask(other, 4, "own")
    answered = peer.take_one("invokefunction")
    peer.say("invocationresult", invocation_id=answered["invocation_id"], function_id="own", result=1)
    other.say("invocationresult", invocation_id=asked["invocation_id"], function_id="other", result=2)
    ask(peer, 5)

    assert peer.worker.info.name == "late"
    assert codes(other) == {uuid(4): None}
    assert codes(peer) == {uuid(3): None, uuid(5): "too_many_calls"}
    gate.opened.set()
    await namespaced.settle()


async def test_so_many_messages_are_sent_at_once_and_the_others_in_turn(
    bridge: Bridge, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_module, "_MESSAGES_AT_ONCE", 3)
    peer = bridge.connect_greeted()
    for number in range(8):
        ask(peer, number, action=ENQUEUE)
    await bridge.settle()
    assert gate.arrived == [b"0", b"1", b"2"]

    gate.opened.set()
    await bridge.settle()
    assert gate.arrived == [str(number).encode() for number in range(8)]
    assert list(codes(peer).values()) == [None] * 8


async def test_a_message_that_gets_no_turn_in_time_is_refused_and_never_sent(
    bridge: Bridge, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_module, "_MESSAGES_AT_ONCE", 1)
    monkeypatch.setattr(caller_module, "_LONGEST_WAIT_S", 0.01)
    peer = bridge.connect_greeted()
    for number in range(2):
        ask(peer, number, action=ENQUEUE)
    await eventually(lambda: peer.heard)
    assert codes(peer) == {uuid(1): "enqueue_error"}

    gate.opened.set()
    await bridge.settle()
    assert codes(peer) == {uuid(0): None}  # which has a turn may take longer
    assert gate.arrived == [b"0"]


async def test_who_waits_for_room_waits_until_half_of_it_is_free(bridge: Bridge) -> None:
    backlog = Backlog(BacklogLimits(calls=4, patience_s=60))
    for _ in range(4):
        backlog.begin(1)
    waiting = asyncio.create_task(backlog.wait_for_room())
    await bridge.settle()
    backlog.end(1)
    await bridge.settle()
    assert not waiting.done()
    backlog.end(1)
    assert await waiting


async def test_patience_ends_once_until_half_of_the_room_was_free() -> None:
    backlog = Backlog(BacklogLimits(calls=2, patience_s=0))
    for _ in range(2):
        backlog.begin(1)
    assert [await backlog.wait_for_room() for _ in range(3)] == [False, True, True]

    backlog.end(1)
    backlog.begin(1)
    assert not await backlog.wait_for_room()


async def test_large_payloads_fill_the_room_as_well() -> None:
    backlog = Backlog(BacklogLimits(calls=100, size_bytes=10))
    backlog.begin(50)
    assert backlog.is_full
    backlog.end(50)
    assert not backlog.is_full
