import asyncio
import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from bridge.builtins.stream import Stream, StreamSettings
from bridge.errors import ConfigError
from bridge.storage import LocalBroker, MemoryStore
from tests.integration.stream.running_bridge import Bridge, eventually, received, running_bridge
from tests.support.waiting import PATIENCE_S

JOIN = {"subscriptionId": "s-1", "streamName": "chat", "groupId": "room-7"}


async def join(client: ClientConnection, **fields: Any) -> dict[str, Any]:
    """Join and return the frame that answers."""
    await client.send(json.dumps({"type": "join", "data": {**JOIN, **fields}}))
    return await next_frame(client)


async def next_frame(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        frame = json.loads(await client.recv())
    assert isinstance(frame, dict)
    return frame


async def test_a_client_joins_and_sees_changes(bridge: Bridge) -> None:
    await bridge.write({"id": "m1"})
    async with connect(f"{bridge.stream_url}/?token=abc") as client:
        sync = await join(client)
        assert sync["event"] == {"type": "sync", "data": [{"id": "m1"}]}
        await bridge.write({"id": "m1", "text": "hi"})
        update = await next_frame(client)
        assert update["event"] == {"type": "update", "data": {"id": "m1", "text": "hi"}}
        assert update["timestamp"] >= sync["timestamp"]


async def test_a_group_named_in_the_path_is_joined(bridge: Bridge) -> None:
    async with connect(f"{bridge.stream_url}/stream/chat/room%2F7?token=abc") as client:
        sync = await next_frame(client)
        assert (sync["streamName"], sync["groupId"], sync["event"]["type"]) == ("chat", "room/7", "sync")
        await bridge.call(
            "stream::send", {"stream_name": "chat", "group_id": "room/7", "type": "typing", "data": 1}
        )
        assert (await next_frame(client))["event"]["event"] == {"type": "typing", "data": 1}


@pytest.mark.parametrize("path", ["/chat", "/stream", "/stream/chat", "/stream/chat/room-7/m1", "//"])
async def test_other_paths_are_not_found(bridge: Bridge, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(bridge.stream_url + path)
    assert caught.value.response.status_code == 404


async def test_frames_that_cannot_be_understood_do_not_end_the_connection(bridge: Bridge) -> None:
    async with connect(bridge.stream_url) as client:
        for frame in ("", "{", b"{", b"\xff", '{"type":"dance"}'):
            await client.send(frame)
        assert (await join(client))["event"]["type"] == "sync"


async def test_a_ping_is_answered(bridge: Bridge) -> None:
    async with connect(bridge.stream_url) as client, asyncio.timeout(PATIENCE_S):
        await (await client.ping(b"payload"))


async def test_the_auth_function_is_asked_once_and_its_context_reaches_the_triggers(tmp_path: Path) -> None:
    asked: list[Any] = []
    events: asyncio.Queue[Any] = asyncio.Queue()

    def authenticate(request: Any) -> Any:
        asked.append(request)
        return {"context": {"user": request["headers"]["authorization"]}}

    async with running_bridge(tmp_path, auth_function="app::ws-auth") as bridge:
        bridge.offer("app::ws-auth", authenticate)
        bridge.offer("gate", events.put_nowait)
        bridge.bind("stream:join", "gate", {})
        bridge.bind("stream:leave", "gate", {})
        headers = {"Authorization": "Bearer x"}
        async with connect(f"{bridge.stream_url}/?a=1&a=2&b", additional_headers=headers) as client:
            await join(client)
            await join(client, subscriptionId="s-2", id="m1")
            host, port = client.local_address
        seen = await received(events, 4)
    [request] = asked
    assert request["headers"]["authorization"] == "Bearer x"
    assert (request["path"], request["query_params"]) == ("/", {"a": ["1", "2"], "b": [""]})
    assert request["addr"] == f"{host}:{port}"
    assert [event["subscription_id"] for event in seen] == ["s-1", "s-2", "s-1", "s-2"]
    assert all(event["context"] == {"user": "Bearer x"} for event in seen)


async def test_a_failing_auth_function_lets_the_client_in_without_context(tmp_path: Path) -> None:
    events: asyncio.Queue[Any] = asyncio.Queue()
    async with running_bridge(tmp_path, auth_function="missing") as bridge:
        bridge.offer("gate", events.put_nowait)
        bridge.bind("stream:join", "gate", {})
        async with connect(bridge.stream_url) as client:
            assert (await join(client))["event"]["type"] == "sync"
    [event] = await received(events, 1)
    assert event["context"] is None


async def test_a_client_whose_auth_function_hangs_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.builtins.stream.stream_socket._HANDSHAKE_TIMEOUT_S", 0.1)
    release = asyncio.Event()
    async with running_bridge(tmp_path, auth_function="hang") as bridge:
        bridge.offer("hang", lambda _: release.wait())
        with pytest.raises(InvalidMessage):
            await connect(bridge.stream_url)
        release.set()
        async with connect(bridge.stream_url) as client:
            assert (await join(client))["event"]["type"] == "sync"


async def test_a_message_over_a_mebibyte_ends_its_own_connection_only(bridge: Bridge) -> None:
    async with connect(bridge.stream_url) as large, connect(bridge.stream_url) as other:
        await join(other)
        await large.send(json.dumps({"type": "join", "data": {**JOIN, "id": "x" * 2**20}}))
        with pytest.raises(ConnectionClosed):
            await large.recv()
        assert large.close_code == 1009
        await bridge.write(1)
        assert (await next_frame(other))["event"] == {"type": "create", "data": 1}


async def test_an_occupied_port_is_a_configuration_error(bridge: Bridge) -> None:
    port = int(bridge.stream_url.rpartition(":")[2])
    second = Stream(MemoryStore(), LocalBroker(), StreamSettings(port=port))
    second.register(bridge.engine)
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}: address already in use"):
        await second.start()
    await second.close()


async def test_closing_disconnects_clients_even_if_a_join_trigger_hangs(tmp_path: Path) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hang(_: Any) -> None:
        entered.set()
        await release.wait()

    async with running_bridge(tmp_path) as bridge:
        idle, joining = await connect(bridge.stream_url), await connect(bridge.stream_url)
        bridge.offer("gate", hang)
        bridge.bind("stream:join", "gate", {})
        await joining.send(json.dumps({"type": "join", "data": JOIN}))
        await entered.wait()
        await bridge.stream.close()
        for client in (idle, joining):
            with pytest.raises(ConnectionClosed):
                await client.recv()
        assert idle.close_code == 1001
        release.set()


async def test_messages_of_a_client_wait_for_the_join_before_them(bridge: Bridge) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    release = asyncio.Event()

    async def hold_the_first(event: Any) -> None:
        asked.put_nowait(event["subscription_id"])
        await release.wait()

    bridge.offer("gate", hold_the_first)
    bridge.bind("stream:join", "gate", {})
    async with connect(bridge.stream_url) as client:
        for subscription_id in ("s-1", "s-2"):
            await client.send(
                json.dumps({"type": "join", "data": {**JOIN, "subscriptionId": subscription_id}})
            )
        await (await client.ping())  # the bridge has read both by now
        assert [asked.get_nowait(), asked.empty()] == ["s-1", True]
        release.set()
        assert await received(asked, 1) == ["s-2"]


async def test_a_thousand_members_get_every_update_in_order(bridge: Bridge) -> None:
    members, updates = 1000, 100
    arrived: list[list[int]] = []

    async def member() -> None:
        async with connect(bridge.stream_url, compression=None, ping_interval=None) as client:
            await join(client)
            joined.release()
            arrived.append([json.loads(await client.recv())["event"]["data"] for _ in range(updates)])

    joined = asyncio.Semaphore(0)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        for _ in range(members):
            tasks.create_task(member())
        for _ in range(members):
            await joined.acquire()
        for number in range(updates):
            await bridge.write(number)
    assert len(arrived) == members
    assert all(each == list(range(updates)) for each in arrived)


class SilentClient:
    """A client that joins and then reads nothing until told to; its kernel buffer is small."""

    def __init__(self, url: str) -> None:
        self._address = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._socket = socket.socket()

    async def join(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        await loop.sock_connect(self._socket, self._address)
        await loop.sock_sendall(
            self._socket,
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        text = json.dumps({"type": "join", "data": JOIN}).encode()
        header = struct.pack("!BB4x", 0x81, 0x80 | len(text))  # masked with zeros: the text as it is
        await loop.sock_sendall(self._socket, header + text)

    async def read(self, count: int) -> list[dict[str, Any]]:
        """Return the next frames."""
        reader, writer = await asyncio.open_connection(sock=self._socket)
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            frames = []
            while len(frames) < count:
                [length] = struct.unpack("!xB", await reader.readexactly(2))
                if length == 126:
                    [length] = struct.unpack("!H", await reader.readexactly(2))
                elif length == 127:
                    [length] = struct.unpack("!Q", await reader.readexactly(8))
                frames.append(json.loads(await reader.readexactly(length)))
        writer.close()
        return frames

    def close(self) -> None:
        self._socket.close()


LARGE = "x" * 256 * 1024


async def test_a_client_that_does_not_read_is_dropped_and_nobody_else_notices(tmp_path: Path) -> None:
    left: asyncio.Queue[Any] = asyncio.Queue()
    async with running_bridge(tmp_path, channel_size=4) as bridge:
        bridge.offer("leave", left.put_nowait)
        silent = SilentClient(bridge.stream_url)
        joined = asyncio.Event()
        bridge.offer("joined", lambda _: joined.set())
        bridge.bind("stream:join", "joined", {})
        await silent.join()
        await joined.wait()
        bridge.bind("stream:leave", "leave", {})
        async with connect(bridge.stream_url, max_size=None) as healthy:
            await join(healthy, subscriptionId="healthy")
            written = 0
            while left.empty():
                assert written < 200, "the silent client was never dropped"
                await bridge.write([written, LARGE])
                assert (await next_frame(healthy))["event"]["data"][0] == written
                written += 1
            assert left.get_nowait()["subscription_id"] == "s-1"
        silent.close()


async def test_a_client_that_reads_late_gets_everything_in_order(tmp_path: Path) -> None:
    async with running_bridge(tmp_path, channel_size=50) as bridge:
        silent = SilentClient(bridge.stream_url)
        joined = asyncio.Event()
        bridge.offer("joined", lambda _: joined.set())
        bridge.bind("stream:join", "joined", {})
        await silent.join()
        await joined.wait()
        await eventually(lambda: bridge.stream._socket._membership.subscriptions._groups != {})
        for number in range(40):
            await bridge.write([number, LARGE])
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(silent.read(51))
            for number in range(40, 50):
                await bridge.write([number, "small"])
    sync, *changes = reading.result()
    assert sync["event"]["type"] == "sync"
    assert [frame["event"]["data"][0] for frame in changes] == list(range(50))
