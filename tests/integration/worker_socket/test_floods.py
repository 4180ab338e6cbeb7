"""A worker that asks for more than can be done is slowed down; nothing is lost and nobody waits for ever."""

import asyncio
import json

import msgspec

from bridge.engine.backlog import BacklogLimits
from bridge.engine.calls import Call
from bridge.listeners.worker_socket import SocketLimits
from tests.integration.worker_socket.live import Client, live_bridge
from tests.integration.worker_socket.raw import greeting_of, raw_connection, say
from tests.support.waiting import eventually

FLOOD = 2_000


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


async def test_a_flood_of_calls_slows_its_caller_down_and_costs_the_called_worker_nothing() -> None:
    calls = 1_000
    async with (
        live_bridge(SocketLimits(outbox_messages=200)) as live,
        live.client(max_queue=None) as flooding,
        live.client() as occasional,
        raw_connection(live, receive_buffer_bytes=4096) as (reader, writer),
    ):
        called_id = (await greeting_of(reader))["worker_id"]
        about = {"runtime": "node", "version": "0.22.1"}
        say(writer, {"type": "invokefunction", "function_id": "engine::workers::register", "data": about})
        say(writer, {"type": "registerfunction", "id": "slow"})
        await eventually(lambda: live.engine.has_provider("slow"))
        executing = live.engine.workers[called_id].executing

        async def call_on_and_on() -> None:
            for _ in range(calls):
                await flooding.say(
                    "invokefunction", function_id="slow", data="x" * 20_000, action={"type": "void"}
                )

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call_on_and_on())
            await eventually(lambda: len(executing) > 100)  # its outbox is crowded
            await occasional.say("invokefunction", function_id="slow", data="x", action={"type": "void"})
            assert await occasional.is_served()  # who calls now and then does not wait with the flood
            taken_bytes = 0
            while taken_bytes < calls * 20_000:  # the called worker was busy, and reads on now
                taken = await reader.read(2**20)
                assert taken, "the called worker was dropped"
                taken_bytes += len(taken)
        await eventually(lambda: len(executing) == calls + 1)

        assert called_id in live.engine.workers
        assert await flooding.is_served()


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
