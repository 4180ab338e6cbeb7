import asyncio
import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest
from websockets.protocol import State

from bridge.builtins.stream.outlet import WRITE_BUFFER_BYTES, Outlet
from tests.support.waiting import PATIENCE_S


class Connection:
    """A connection whose socket takes data only when told to."""

    def __init__(self) -> None:
        self.id = uuid.UUID(int=0)
        self.written: list[bytes] = []
        self.buffered_bytes = 0
        self.is_aborted = False
        self.send_in_progress = None
        self.protocol = SimpleNamespace(state=State.OPEN, send_text=self.written.append)
        self.transport = SimpleNamespace(
            get_write_buffer_size=lambda: self.buffered_bytes,
            is_closing=lambda: self.is_aborted,
            abort=self._abort,
        )
        self.drained = asyncio.Semaphore(0)

    def send_data(self) -> None:
        """The kernel's part, which `buffered_bytes` stands for."""

    async def send(self, frame: bytes, *, text: bool) -> None:
        assert text
        self.written.append(frame)
        await self.drained.acquire()

    def _abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def connection() -> Connection:
    return Connection()


def outlet_of(connection: Connection, *, max_frames: int = 10) -> Outlet:
    return Outlet(cast("Any", connection), max_frames=max_frames)


async def until_written(connection: Connection, frames: list[bytes]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while connection.written != frames:  # noqa: ASYNC110 - a few turns of the loop, without a clock
            await asyncio.sleep(0)


async def test_a_socket_that_takes_data_is_written_to_at_once(connection: Connection) -> None:
    connection.buffered_bytes = WRITE_BUFFER_BYTES
    outlet = outlet_of(connection, max_frames=1)
    for frame in (b"1", b"2", b"3"):
        outlet.send(frame)
    assert connection.written == [b"1", b"2", b"3"]


async def test_frames_wait_while_the_socket_is_full_and_nothing_overtakes_them(
    connection: Connection,
) -> None:
    outlet = outlet_of(connection)
    connection.buffered_bytes = WRITE_BUFFER_BYTES + 1
    outlet.send(b"1")
    outlet.send(b"2")
    assert connection.written == []
    writer = asyncio.ensure_future(outlet.write_waiting())
    await until_written(connection, [b"1"])
    connection.buffered_bytes = 0
    outlet.send(b"3")
    for _ in range(3):
        connection.drained.release()
    await until_written(connection, [b"1", b"2", b"3"])
    writer.cancel()


async def test_a_client_with_too_many_frames_waiting_is_dropped_and_written_to_no_more(
    connection: Connection,
) -> None:
    outlet = outlet_of(connection, max_frames=2)
    connection.buffered_bytes = WRITE_BUFFER_BYTES + 1
    outlet.send(b"1")
    outlet.send(b"2")
    assert not connection.is_aborted
    outlet.send(b"3")
    assert connection.is_aborted
    connection.buffered_bytes = 0
    outlet.send(b"4")
    assert connection.written == []


async def test_the_bytes_that_wait_are_bounded_too(connection: Connection) -> None:
    outlet = outlet_of(connection)
    connection.buffered_bytes = WRITE_BUFFER_BYTES + 1
    huge = bytes(20 * 1024 * 1024)
    outlet.send(huge)
    assert not connection.is_aborted, "one frame is taken, however large"
    outlet.send(b"1")
    assert connection.is_aborted
