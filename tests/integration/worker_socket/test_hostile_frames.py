"""Tens of thousands of random and damaged frames: nothing crashes, nothing leaks, all others are served."""

import asyncio
import gc
import json
import logging
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from websockets.exceptions import ConnectionClosed

from tests.integration.worker_socket.live import Client, LiveBridge, live_bridge

SEED = 20_260_101
CONNECTIONS = 4
FRAMES_PER_CONNECTION = 4_000
BATCH = 100
LEAK_LIMIT_BYTES = 150_000

UUID = "5b0c2d2e-0000-4000-8000-000000000001"
WHO = "engine::workers::register"
VALID: list[dict[str, Any]] = [
    {"type": "registerfunction", "id": "f1", "description": "d", "metadata": {"internal": True}},
    {"type": "registerfunction", "id": "f2", "request_format": {"type": "object"}},
    {"type": "registerfunction", "id": "f3", "invocation": {"url": "https://example.com"}},
    {"type": "unregisterfunction", "id": "f1"},
    {"type": "registerservice", "id": "s", "name": "s"},
    {"type": "registertriggertype", "id": "t::hostile", "description": "d", "namespace": "default"},
    {"type": "unregistertriggertype", "id": "t::hostile"},
    {"type": "registertrigger", "id": "b1", "trigger_type": "t::hostile", "function_id": "f1", "config": {}},
    {"type": "registertrigger", "id": "b2", "trigger_type": "engine::workers-available", "function_id": "f2"},
    {"type": "unregistertrigger", "id": "b1", "trigger_type": "t::hostile"},
    {
        "type": "triggerregistrationresult",
        "id": "b1",
        "trigger_type": "t::hostile",
        "function_id": "f1",
        "error": {"code": "c", "message": "m"},
    },
    {"type": "invokefunction", "function_id": "f1", "invocation_id": UUID, "data": {"a": [1, "x", None]}},
    {"type": "invokefunction", "function_id": "f2", "data": {}, "action": {"type": "void"}},
    {
        "type": "invokefunction",
        "function_id": "f1",
        "invocation_id": UUID,
        "data": 1,
        "action": {"type": "enqueue", "queue": "q"},
    },
    {
        "type": "invokefunction",
        "function_id": "echo",
        "invocation_id": UUID,
        "data": {"from": "hostile"},
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "baggage": "a=1,iii-temporal.invocation=" + UUID,
        "metadata": [1],
    },
    {"type": "invokefunction", "function_id": WHO, "data": {"runtime": "node", "name": "h", "pid": 7}},
    {"type": "invokefunction", "function_id": WHO, "invocation_id": UUID, "data": {"namespace": "elsewhere"}},
    {"type": "invokefunction", "function_id": "engine::functions::list", "invocation_id": UUID, "data": {}},
    {"type": "invokefunction", "function_id": "engine::workers::list", "invocation_id": UUID, "data": {}},
    {
        "type": "invokefunction",
        "function_id": "engine::registered-triggers::list",
        "invocation_id": UUID,
        "data": {"search": "b"},
    },
    {"type": "invocationresult", "invocation_id": UUID, "function_id": "f1", "result": {"a": 1}},
    {
        "type": "invocationresult",
        "invocation_id": UUID,
        "function_id": "f1",
        "error": {"code": "c", "message": "m"},
    },
    {"type": "reattach", "previous_worker_id": UUID, "reattach_token": UUID},
    {"type": "ping"},
    {"type": "pong"},
]
ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 2**64, 1e308, "", " ", "default", "\x00", "\u202e", "é" * 50, "x" * 5_000),
    *([], {}, [[]], {"type": "void"}, {"type": "ping"}, [1] * 100, "engine::workers::list", UUID),
]
ODD_BYTES = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\x00", b"\xff", b"null", b"1e999", b"\\ud800"]


class FrameSource:
    """Makes frames, from nearly right to pure noise; the same seed makes the same frames."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def next(self) -> str | bytes:
        make = self._dice.choice(
            (self._valid, self._odd_fields, self._odd_fields, self._damaged, self._noise)
        )
        frame = make()
        if isinstance(frame, str) and self._dice.random() < 0.1:
            return frame.encode(errors="replace")
        return frame

    def _valid(self) -> str:
        return json.dumps(self._dice.choice(VALID))

    def _odd_fields(self) -> str:
        message = dict(self._dice.choice(VALID))
        for _ in range(self._dice.randint(1, 2)):
            field = self._dice.choice([*message, "data", "namespace", "metadata", "unheardof"])
            if self._dice.random() < 0.3:
                message.pop(field, None)
            else:
                message[field] = self._dice.choice(ODD_VALUES)
        return json.dumps(message)

    def _damaged(self) -> str | bytes:
        frame = bytearray(self._valid().encode())
        for _ in range(self._dice.randint(1, 4)):
            at = self._dice.randrange(len(frame) + 1)
            frame[at : at + self._dice.choice((0, 0, 1, 10))] = self._dice.choice(ODD_BYTES)
        try:
            return bytes(frame).decode()
        except UnicodeDecodeError:
            return bytes(frame)

    def _noise(self) -> bytes:
        prefix = self._dice.choice((b"", b"", b"OTLP", b"MTRC", b"LOGS", b"{"))
        return prefix + self._dice.randbytes(self._dice.randint(0, 60))


async def harass(live: LiveBridge, source: FrameSource, count: int) -> None:
    """Throw frames at the bridge and make sure, now and then, that it has taken them all."""
    async with live.client(max_queue=None) as client:
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                await client.connection.send(source.next())
            assert await client.is_served()


async def answer_forever(provider: Client) -> None:
    while True:
        await provider.serve_one()


async def call_until(done: asyncio.Event, caller: Client) -> int:
    """Call on and on; every answer must be right."""
    calls = 0
    while not done.is_set():
        assert (await caller.call("echo", [calls]))["result"] == [calls]
        calls += 1
    return calls


async def storm(live: LiveBridge, caller: Client, seed: int) -> int:
    """Let hostile connections do their worst while one worker calls another; returns how often it did."""
    done = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        calls = tasks.create_task(call_until(done, caller))
        async with asyncio.TaskGroup() as hostile:
            for number in range(CONNECTIONS):
                hostile.create_task(harass(live, FrameSource(seed + number), FRAMES_PER_CONNECTION))
        done.set()
    live.telemetry.clear()
    return calls.result()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep thousands of warnings about dropped frames out of the output."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.mark.timeout(600)  # 15 s of computing with memory traced: minutes where others compute as well
@pytest.mark.usefixtures("quiet")
async def test_a_storm_of_hostile_frames_harms_nobody_and_leaves_nothing_behind():
    async with live_bridge() as live, live.client() as provider, live.client() as caller:
        for client in (provider, caller):
            await client.introduce()
        await provider.say("registerfunction", id="echo")
        assert await provider.is_served()
        serving = asyncio.ensure_future(answer_forever(provider))
        tracemalloc.start()
        try:
            assert await storm(live, caller, SEED) > 10
            before = await at_rest(live, {provider.id, caller.id})
            assert await storm(live, caller, SEED + CONNECTIONS) > 10
            after = await at_rest(live, {provider.id, caller.id})
        finally:
            tracemalloc.stop()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        assert after[0] == before[0], "tasks were left behind"
        assert after[1] - before[1] < LEAK_LIMIT_BYTES, "memory was left behind"


async def at_rest(live: LiveBridge, peaceful: set[str]) -> tuple[int, int]:
    """Wait for the hostile connections to be gone; returns the tasks and the bytes that remain."""
    for worker_id in set(live.engine.workers) - peaceful:
        await live.departure_of(worker_id)
    for _ in range(20):  # what has nothing left to wait for ends now
        await asyncio.sleep(0)
    offered = {each.id for each in live.engine.functions if not each.id.startswith("engine::")}
    assert offered == {"echo"}
    assert list(live.engine.triggers.bindings) == []
    assert {each.id for each in live.engine.triggers.types if not each.id.startswith("engine::")} == set()
    assert all(not worker.executing for worker in live.engine.workers.values())
    live.forget_departures()
    gc.collect()
    return len(asyncio.all_tasks()), tracemalloc.get_traced_memory()[0]


def test_the_source_makes_the_same_frames_from_the_same_seed():
    first, second = FrameSource(SEED), FrameSource(SEED)

    assert [first.next() for _ in range(500)] == [second.next() for _ in range(500)]


async def test_a_connection_that_is_cut_in_the_middle_of_a_storm_is_forgotten(live, bystander):
    source = FrameSource(SEED)
    for _ in range(20):
        async with live.client() as client:
            for _ in range(20):
                await client.connection.send(source.next())
            client.connection.transport.abort()
            with pytest.raises(ConnectionClosed):
                await client.hear("nothing")
        await live.departure_of(client.id)

    assert await bystander.is_served()
    assert list(live.engine.workers) == [bystander.id]
