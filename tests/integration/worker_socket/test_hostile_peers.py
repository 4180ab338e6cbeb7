"""Peers that use what WebSocket allows to fill the bridge's memory are dropped, and nobody else notices."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from bridge.listeners import peer_connection
from bridge.protocol import payload
from tests.integration.worker_socket.live import UNLIMITED, Client, LiveBridge
from tests.integration.worker_socket.raw import greeting_of, raw_connection, raw_frame

BEGIN_TEXT, CONTINUATION, PING = 0x01, 0x00, 0x89
MIB = 1024 * 1024


async def flood_until_dropped(live: LiveBridge, frame: bytes, first: bytes = b"") -> None:
    """Send a frame again and again, reading nothing, until the bridge has had enough."""
    async with raw_connection(live, receive_buffer_bytes=4096) as (reader, writer):
        greeting = await greeting_of(reader)
        dropped = asyncio.ensure_future(live.departure_of(greeting["worker_id"]))
        writer.write(first)
        while not dropped.done():
            writer.write(frame * 500)
            await asyncio.wait(
                [dropped, asyncio.ensure_future(drained(writer))], return_when="FIRST_COMPLETED"
            )


async def drained(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.drain()
    except ConnectionError:
        await asyncio.sleep(0)


async def test_a_peer_that_pings_and_does_not_read_is_dropped(
    live: LiveBridge, bystander: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_connection, "MOST_UNSENT_BYTES", 100_000)
    await flood_until_dropped(live, raw_frame(PING, b"x" * 125))

    assert await bystander.is_served()


async def test_a_peer_whose_message_never_ends_is_dropped(live: LiveBridge, bystander: Client) -> None:
    await flood_until_dropped(live, raw_frame(CONTINUATION), first=raw_frame(BEGIN_TEXT))

    assert await bystander.is_served()


async def test_pings_of_a_peer_that_reads_are_answered_however_many_they_are(
    live: LiveBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_connection, "MOST_UNSENT_BYTES", 100_000)
    async with live.client() as client:
        for _ in range(100):
            pongs = [await client.connection.ping() for _ in range(100)]
        await asyncio.gather(*pongs)
        assert await client.is_served()


async def test_a_message_too_large_for_one_frame_of_some_sdks_is_sent_in_fragments(live: LiveBridge) -> None:
    live.function("large", lambda _: payload.encode("ä" * 10 * MIB))
    async with connect(live.url, max_size=UNLIMITED) as connection:
        await connection.recv()
        about = {"runtime": "rust", "version": "0.22.1"}
        for function_id, data in (("engine::workers::register", about), ("large", {})):
            call = {
                "function_id": function_id,
                "data": data,
                "invocation_id": "5b0c2d2e-0000-4000-8000-000000000001",
            }
            await connection.send(json.dumps({"type": "invokefunction", **call}))
        await connection.recv()
        fragments = [fragment async for fragment in connection.recv_streaming(decode=True)]

    assert json.loads("".join(map(str, fragments)))["result"] == "ä" * 10 * MIB
    assert max(map(len, fragments)) <= MIB
