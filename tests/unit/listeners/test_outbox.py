import asyncio

import pytest

from bridge.listeners import outbox as outbox_module
from bridge.listeners.outbox import Outbox, OutboxEndedError


async def test_frames_leave_in_the_order_they_came():
    outbox = Outbox(max_messages=3, max_bytes=100)
    for frame in (b"a", b"b", b"c"):
        assert outbox.put(frame)

    assert [await outbox.get() for _ in range(3)] == [b"a", b"b", b"c"]
    assert len(outbox) == 0


async def test_a_waiting_reader_gets_the_next_frame():
    outbox = Outbox(max_messages=1, max_bytes=100)
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.put(b"a")

    assert await reader == b"a"


async def test_a_cancelled_reader_takes_nothing():
    outbox = Outbox(max_messages=1, max_bytes=100)
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    outbox.put(b"a")

    assert await outbox.get() == b"a"


@pytest.mark.parametrize(
    ("frames", "fits"), [([b"12345"] * 2, True), ([b"12345"] * 3, False), ([b"1"] * 5, False)]
)
async def test_there_is_room_for_so_many_messages_and_so_many_bytes(frames, fits):
    outbox = Outbox(max_messages=4, max_bytes=10)

    assert all(outbox.put(frame) for frame in frames) is fits


async def test_one_frame_may_be_larger_than_the_bound():
    outbox = Outbox(max_messages=4, max_bytes=10)

    assert outbox.put(b"x" * 100)
    assert not outbox.put(b"y")


async def test_reading_makes_room():
    outbox = Outbox(max_messages=4, max_bytes=10)
    for _ in range(100):
        assert outbox.put(b"1234567890")
        await outbox.get()


async def test_an_outbox_that_overflowed_stays_closed_and_forgets_what_waited():
    outbox = Outbox(max_messages=1, max_bytes=10)
    outbox.put(b"a")
    outbox.put(b"b")

    assert outbox.is_closed
    assert not outbox.put(b"c")
    assert len(outbox) == 0
    with pytest.raises(OutboxEndedError):
        await outbox.get()


async def test_what_waits_at_the_end_is_still_delivered():
    outbox = Outbox(max_messages=2, max_bytes=10)
    outbox.put(b"a")
    outbox.end()

    assert not outbox.put(b"b")
    assert await outbox.get() == b"a"
    with pytest.raises(OutboxEndedError):
        await outbox.get()


async def test_the_end_wakes_a_waiting_reader():
    outbox = Outbox(max_messages=2, max_bytes=10)
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.end()

    with pytest.raises(OutboxEndedError):
        await reader


def filled(count, max_messages=10):
    outbox = Outbox(max_messages=max_messages, max_bytes=10_000)
    for _ in range(count):
        outbox.put(b"x")
    return outbox


@pytest.mark.parametrize(
    ("frames", "is_crowded"), [([b"x"] * 4, False), ([b"x"] * 5, True), ([b"x" * 50], True)]
)
async def test_an_outbox_is_crowded_when_half_of_its_room_is_taken(frames, is_crowded):
    outbox = Outbox(max_messages=10, max_bytes=100)
    for frame in frames:
        outbox.put(frame)

    assert outbox.is_crowded is is_crowded


async def test_who_fills_a_crowded_outbox_waits_until_it_has_room():
    outbox = filled(6)
    waiting = asyncio.ensure_future(outbox.wait_for_room())
    await asyncio.sleep(0)
    await outbox.get()
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.get()

    await waiting


async def test_nobody_waits_for_long_for_an_outbox_that_no_frame_leaves(monkeypatch):
    monkeypatch.setattr(outbox_module, "_PATIENCE_S", 0.01)
    outbox = filled(5)
    await outbox.wait_for_room()
    monkeypatch.setattr(outbox_module, "_PATIENCE_S", 60)
    await outbox.wait_for_room()  # nor a second time
    await outbox.get()
    outbox.put(b"x")
    waiting = asyncio.ensure_future(outbox.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.end()

    await waiting
