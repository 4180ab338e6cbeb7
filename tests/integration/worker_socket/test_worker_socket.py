"""The worker socket on a real port: what one peer does, no other peer notices (spec 01 §1)."""

import asyncio
import json
import struct

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.listeners.worker_socket import SocketLimits
from bridge.protocol import payload
from bridge.protocol.outbound import CallFunction
from tests.integration.worker_socket.live import live_bridge
from tests.integration.worker_socket.raw import greeting_of, raw_connection, raw_frame, say
from tests.support.waiting import POLL_S

CALL = "5b0c2d2e-0000-4000-8000-000000000001"
MIB = 1024 * 1024


async def test_two_workers_call_each_other(live):
    async with live.client() as provider, live.client() as caller:
        await provider.introduce()
        await provider.say("registerfunction", id="echo")
        assert await provider.is_served()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(provider.serve_one())
            answer = await caller.call("echo", [1, 2])

    assert answer["result"] == [1, 2]


@pytest.mark.parametrize("path", ["/ws", "/otel/", "/anything", "//"])
async def test_other_paths_are_not_found(live, path):
    with pytest.raises(InvalidStatus) as refused:
        await connect(live.url + path)

    assert refused.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/", "/?token=x", "/otel", "/otel?token=x"])
async def test_the_paths_of_the_protocol_take_any_query(live, path):
    async with connect(live.url + path, compression="deflate") as connection:
        assert connection.protocol.extensions == []


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "nonsense"])
async def test_any_origin_is_taken_because_the_sdk_for_browsers_has_one(live, origin):
    async with connect(live.url, origin=origin, subprotocols=["iii"]) as connection:
        assert json.loads(await connection.recv())["type"] == "workerregistered"
        assert connection.subprotocol is None


async def test_a_plain_http_request_is_refused(live):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status.split()[1].startswith(b"4")


@pytest.mark.parametrize("head", ["POST / HTTP/1.1", "PUT /otel HTTP/1.1", "nonsense"])
async def test_what_is_no_get_opens_no_socket(live, bystander, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    upgrade = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    writer.write(f"{head}\r\n{upgrade}\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer == b"" or answer.split()[1].startswith(b"4")
    assert list(live.engine.workers) == [bystander.id]


async def test_text_that_is_no_text_ends_its_connection_only(live, bystander):
    async with raw_connection(live) as (reader, writer):
        greeting = await greeting_of(reader)
        writer.write(raw_frame(0x81, b'{"type":"ping","x":"\xff"}'))
        await live.departure_of(greeting["worker_id"])

    assert await bystander.is_served()


async def test_a_peer_that_does_not_finish_its_handshake_is_dropped():
    async with live_bridge(SocketLimits(handshake_timeout_s=0.05)) as live:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "not json",
        "[" * 100_000,
        '{"type":"unheardof"}',
        '{"type":"registerfunction"}',
        '{"type":"invokefunction","function_id":"f","invocation_id":"not-a-uuid"}',
        b"",
        b"\x00\x01\x02",
        b'{"type":"registerfunction","id":"\xff"}',
        b"OTLP{broken",
    ],
)
async def test_a_frame_that_means_nothing_harms_nobody(live, bystander, frame):
    async with live.client() as client:
        await client.connection.send(frame)
        assert await client.is_served()

    assert await bystander.is_served()


async def test_a_binary_frame_may_carry_a_message(live):
    async with live.client() as client:
        await client.connection.send(b'{"type":"ping"}')
        assert await client.hear("pong")


async def test_a_message_in_fragments_is_one_message(live):
    async with live.client() as client:
        await client.connection.send(['{"type":', '"pi', 'ng"}'])
        assert await client.hear("pong")


async def test_telemetry_is_handed_on_from_both_sockets(live):
    async with live.client() as client, connect(live.url + "/otel") as telemetry:
        await client.connection.send(b'OTLP{"resourceSpans":[]}')
        await client.connection.send(b'MTRC{"resourceMetrics":[]}')
        assert await client.is_served()
        await telemetry.send("text is ignored")
        await telemetry.send(b'LOGS{"resourceLogs":[]}')
        await (await telemetry.ping())

    assert live.telemetry == [
        b'OTLP{"resourceSpans":[]}',
        b'MTRC{"resourceMetrics":[]}',
        b'LOGS{"resourceLogs":[]}',
    ]


async def test_a_telemetry_socket_is_no_worker(live, bystander):
    async with connect(live.url + "/otel") as telemetry:
        await (await telemetry.ping())
        assert list(live.engine.workers) == [bystander.id]


async def test_a_frame_over_64_mib_ends_its_connection_only():
    limits = SocketLimits(ping_timeout_s=0.5, close_timeout_s=0.05)
    async with live_bridge(limits) as live, live.client() as bystander:
        async with raw_connection(live) as (reader, writer):
            greeting = await greeting_of(reader)
            writer.write(b"\x81" + bytes([0x80 | 127]) + struct.pack("!Q", 64 * MIB + 1) + b"mask")
            await live.departure_of(greeting["worker_id"])

        assert await bystander.is_served()


async def test_a_large_frame_within_the_limit_is_served(live):
    live.function("length", lambda data: msgspec.Raw(str(len(data)).encode()))
    async with live.client() as client:
        answer = await client.call("length", "x" * 20 * MIB)

    assert answer["result"] == 20 * MIB + 2


@pytest.mark.parametrize("outbox_mib", [4, 1024], ids=["crowded", "roomy"])
async def test_a_peer_that_does_not_read_is_dropped_and_nobody_else_notices(outbox_mib):
    limits = SocketLimits(
        outbox_bytes=outbox_mib * MIB, outbox_patience_s=0.01, ping_interval_s=0.05, ping_timeout_s=0.5
    )
    async with live_bridge(limits) as live, live.client() as caller:
        async with raw_connection(live) as (reader, writer):
            greeting = await greeting_of(reader)
            about = {"runtime": "node", "version": "0.25.0"}
            say(writer, {"type": "invokefunction", "function_id": "engine::workers::register", "data": about})
            say(writer, {"type": "registerfunction", "id": "deaf"})
            say(writer, {"type": "invokefunction", "function_id": "on::ready"})
            ready = asyncio.Event()
            live.function("on::ready", lambda data: ready.set() or data)
            await ready.wait()
            await caller.say("invokefunction", function_id="deaf", invocation_id=CALL)
            for _ in range(16):
                await caller.say(
                    "invokefunction", function_id="deaf", data="x" * MIB, action={"type": "void"}
                )
            await live.departure_of(greeting["worker_id"])
            answer = await caller.hear("invocationresult")

        assert answer["error"]["code"] == "invocation_stopped"
        assert await caller.is_served()


async def test_a_peer_that_reads_what_waits_for_it_is_not_taken_for_gone_however_slow_it_is():
    limits = SocketLimits(ping_interval_s=0.05, ping_timeout_s=1)
    async with live_bridge(limits) as live, raw_connection(live) as (reader, _):
        slow = live.engine.workers[(await greeting_of(reader))["worker_id"]]

        async def read() -> None:
            for _ in range(1_000):
                await reader.read(64 * 1024)
                await asyncio.sleep(POLL_S)

        for _ in range(64):
            slow.send(CallFunction(CALL, "f", payload.encode("x" * MIB)))
        reading = asyncio.ensure_future(read())
        for _ in range(2):  # the time in which a peer that says as little is found to be gone
            async with raw_connection(live) as (other, _):
                await live.departure_of((await greeting_of(other))["worker_id"])

        assert slow.id in live.engine.workers
        reading.cancel()


async def test_a_peer_that_answers_no_pings_is_found_and_nobody_else_is_harmed():
    limits = SocketLimits(ping_interval_s=0.05, ping_timeout_s=0.5, close_timeout_s=0.05)
    async with live_bridge(limits) as live, live.client() as bystander:
        async with raw_connection(live) as (reader, _):
            greeting = await greeting_of(reader)
            await live.departure_of(greeting["worker_id"])

        assert await bystander.is_served()
        assert list(live.engine.workers) == [bystander.id]


async def test_a_lost_connection_takes_its_functions_along(live):
    async with live.client() as provider, live.client() as caller:
        await provider.introduce()
        await provider.say("registerfunction", id="f")
        assert await provider.is_served()
        await caller.say("invokefunction", function_id="f", invocation_id=CALL)
        await provider.hear("invokefunction")
        provider.connection.transport.abort()

        answer = await caller.hear("invocationresult")
        assert answer["error"]["code"] == "invocation_stopped"
        assert (await caller.call("f"))["error"]["code"] == "function_not_found"


async def test_reattaching_drops_the_old_connection_without_a_close_frame(live):
    async with live.client() as old, live.client() as new:
        await new.say("reattach", previous_worker_id=old.id, reattach_token=old.token)
        assert await new.is_served()
        with pytest.raises(ConnectionClosed) as lost:
            await old.connection.recv()

        assert lost.value.rcvd is None
        assert list(live.engine.workers) == [new.id]


async def test_registrations_go_to_default_after_the_grace():
    async with live_bridge(SocketLimits(namespace_grace_s=0.05)) as live, live.client() as client:
        offered = asyncio.Event()
        live.engine.on_function_offered.append(lambda _: offered.set())
        await client.say("registerfunction", id="f")
        await offered.wait()

        assert live.engine.functions.namespaces_of("f") == ["default"]


async def test_a_worker_whose_name_is_taken_is_told_and_then_closed(live):
    live.engine.functions.duplicates = "reject"
    async with live.client() as owner, live.client() as newcomer:
        await owner.introduce(name="billing")
        data = {"name": "billing", "version": "0.25.0"}
        await newcomer.say("invokefunction", function_id="engine::workers::register", data=data)

        assert (await newcomer.hear("registrationrejected"))["owner_worker_id"] == owner.id
        with pytest.raises(ConnectionClosed):
            await newcomer.connection.recv()
        assert await owner.is_served()


async def test_every_connection_is_closed_so_that_sdks_come_back(live):
    async with live.client() as worker, connect(live.url + "/otel") as telemetry:
        await live.socket.stop_accepting()
        await live.socket.disconnect_all()
        for connection in (worker.connection, telemetry):
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        with pytest.raises(OSError, match="Connect"):
            await connect(live.url)


async def test_a_peer_that_does_not_answer_the_close_frame_is_dropped():
    async with live_bridge(SocketLimits(close_timeout_s=0.05)) as live, raw_connection(live) as (reader, _):
        greeting = await greeting_of(reader)
        await live.socket.disconnect_all()
        await live.departure_of(greeting["worker_id"])


async def test_connected_workers_are_served_after_the_socket_stopped_accepting(live, bystander):
    await live.socket.stop_accepting()

    assert await bystander.is_served()
