"""A worker that asks for more than can be done is slowed down; nothing is lost and nobody waits for ever."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from bridge.engine.backlog import BacklogLimits
from bridge.engine.calls import Call
from bridge.engine.workers import Worker
from bridge.listeners import worker_socket
from bridge.listeners.outbox import Outbox
from bridge.listeners.worker_socket import SocketLimits
from tests.integration.worker_socket.live import Client, LiveBridge, live_bridge
from tests.integration.worker_socket.raw import greeting_of, raw_connection, say
from tests.support.waiting import eventually

FLOOD = 2_000
PAYLOAD = "x" * 20_000
PATIENT = SocketLimits(outbox_patience_s=600, ping_interval_s=600, ping_timeout_s=600)
"""However long a busy machine takes, nobody is taken for gone."""


class SlowQueue:
    """Accepts nothing until it is opened; knows how many messages it was given at most at a time."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.given = 0
        self.accepted: list[int] = []

    async def enqueue(self, call: Call, _: str) -> str:
        self.given += 1
        await self.opened.wait()
        self.accepted.append(json.loads(bytes(call.data)))
        return "00000000-0000-4000-8000-000000000000"


async def flood(client: Client, function_id: str, **fields: object) -> None:
    for number in range(FLOOD):
        call_id = f"00000000-0000-4000-8000-{number:012x}"
        await client.say(
            "invokefunction", function_id=function_id, invocation_id=call_id, data=number, **fields
        )


async def test_a_flood_of_messages_is_read_no_faster_than_it_is_accepted_and_loses_none() -> None:
    limits = SocketLimits(backlog=BacklogLimits(calls=100, patience_s=60))
    async with live_bridge(limits) as live, live.client(max_queue=None) as client, live.client() as bystander:
        live.engine.enqueuer = queue = SlowQueue()
        await client.introduce()
        backlog = live.engine.workers[client.id].backlog
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flood(client, "f", action={"type": "enqueue", "queue": "q"}))
            await eventually(lambda: backlog.is_full)
            assert await bystander.is_served()
            assert queue.given <= 100
            queue.opened.set()
            answers = [await client.hear("invocationresult") for _ in range(FLOOD)]

        assert [each["error"] for each in answers if "error" in each] == []
        assert queue.accepted == list(range(FLOOD))


@pytest.fixture
def outboxes(monkeypatch: pytest.MonkeyPatch) -> list[Outbox]:
    """The outboxes of all connections, the newest last."""
    made: list[Outbox] = []

    class Noted(Outbox):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(worker_socket, "Outbox", Noted)
    return made


@dataclass
class Called:
    """A worker that offers `slow` and reads what it is sent when the test wants it to."""

    worker: Worker
    outbox: Outbox
    reader: asyncio.StreamReader

    async def read(self, size_bytes: int) -> None:
        taken_bytes = 0
        while taken_bytes < size_bytes:
            taken = await self.reader.read(2**20)
            assert taken, "the called worker was dropped"
            taken_bytes += len(taken)


@asynccontextmanager
async def called_worker(live: LiveBridge, outboxes: list[Outbox]) -> AsyncIterator[Called]:
    async with raw_connection(live, receive_buffer_bytes=4096) as (reader, writer):
        worker = live.engine.workers[(await greeting_of(reader))["worker_id"]]
        about = {"runtime": "node", "version": "0.22.1"}
        say(writer, {"type": "invokefunction", "function_id": "engine::workers::register", "data": about})
        say(writer, {"type": "registerfunction", "id": "slow"})
        await eventually(lambda: live.engine.has_provider("slow"))
        yield Called(worker, outboxes[-1], reader)


async def call_slow(client: Client, times: int) -> None:
    for _ in range(times):
        await client.say("invokefunction", function_id="slow", data=PAYLOAD, action={"type": "void"})


async def test_a_flood_of_calls_slows_its_caller_down_and_costs_the_called_worker_nothing(
    outboxes: list[Outbox],
) -> None:
    calls = 1_000
    async with (
        live_bridge(replace(PATIENT, outbox_messages=200)) as live,
        live.client(max_queue=None, ping_interval=None) as flooding,
        live.client() as occasional,
        called_worker(live, outboxes) as called,
    ):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call_slow(flooding, calls))
            await eventually(lambda: called.outbox.is_crowded)
            await call_slow(occasional, 1)
            assert await occasional.is_served()  # who calls now and then does not wait with the flood
            await called.read(calls * len(PAYLOAD))  # it was busy, and reads on now
        await eventually(lambda: len(called.worker.executing) == calls + 1)

        assert called.worker.id in live.engine.workers
        assert await flooding.is_served()


async def test_calls_that_a_busy_worker_has_no_room_for_are_refused_and_it_keeps_all_others(
    outboxes: list[Outbox],
) -> None:
    calls = 1_000
    async with (
        live_bridge(replace(PATIENT, outbox_messages=100, outbox_patience_s=0.01)) as live,
        live.client(max_queue=None) as caller,
        called_worker(live, outboxes) as called,
    ):
        for number in range(calls):
            call_id = f"00000000-0000-4000-8000-{number:012x}"
            await caller.say("invokefunction", function_id="slow", invocation_id=call_id, data=PAYLOAD)
        await caller.say("ping")  # answered though the called worker reads nothing
        answers = []
        while (message := json.loads(await caller.connection.recv()))["type"] != "pong":
            answers.append(message)
        executing = len(called.worker.executing)
        await called.read(executing * len(PAYLOAD))

        refusals = [each["error"] for each in answers if each["type"] == "invocationresult"]
        assert {each["code"] for each in refusals} == {"too_many_calls"}
        assert "worker_outbox" in refusals[0]["message"]
        assert called.worker.id in live.engine.workers
        assert len(called.worker.executing) == executing == calls - len(refusals)


async def test_a_worker_that_is_read_no_further_for_a_while_is_not_taken_for_gone() -> None:
    backlog_limits = BacklogLimits(calls=100, patience_s=600)
    limits = SocketLimits(backlog=backlog_limits, ping_interval_s=0.05, ping_timeout_s=0.2)
    async with live_bridge(limits) as live, live.client(max_queue=None, ping_interval=None) as client:
        live.engine.enqueuer = queue = SlowQueue()
        await client.introduce()
        backlog = live.engine.workers[client.id].backlog
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flood(client, "f", action={"type": "enqueue", "queue": "q"}))
            await eventually(lambda: backlog.is_full)
            for _ in range(3):  # the time in which a peer that could answer is found to be gone
                async with raw_connection(live) as (reader, _):
                    await live.departure_of((await greeting_of(reader))["worker_id"])
            queue.opened.set()
            answers = [await client.hear("invocationresult") for _ in range(FLOOD)]

        assert [each["error"] for each in answers if "error" in each] == []


async def test_a_worker_that_floods_what_waits_for_its_own_answers_gets_every_answer() -> None:
    limits = SocketLimits(backlog=BacklogLimits(calls=20, patience_s=0.05))
    async with live_bridge(limits) as live, live.client(max_queue=None) as client:

        async def ask_the_worker(call: Call) -> msgspec.Raw:
            return (await live.engine.invoke(Call("own", call.data))).unwrap()

        live.engine.add_builtin("outer", ask_the_worker, owner_name="test")
        await client.introduce()
        await client.say("registerfunction", id="own")
        results, codes = 0, set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flood(client, "outer"))
            while results + len(codes) < FLOOD:
                message = json.loads(await client.connection.recv())
                if message["type"] == "invokefunction":  # its answer goes out behind the rest of the flood
                    asked = {key: message[key] for key in ("invocation_id", "function_id")}
                    await client.say("invocationresult", **asked, result=1)
                elif "error" in message:
                    codes.add((message["error"]["code"], message["invocation_id"]))
                else:
                    results += 1

        assert results >= 20
        assert {code for code, _ in codes} <= {"too_many_calls"}
