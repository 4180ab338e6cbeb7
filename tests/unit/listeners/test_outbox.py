import asyncio

import pytest

from bridge.listeners.outbox import Outbox, OutboxEndedError


def new_outbox(max_messages=10, max_bytes=10_000, patience_s=60, on_full=lambda: None):
    return Outbox(max_messages=max_messages, max_bytes=max_bytes, patience_s=patience_s, on_full=on_full)


async def test_frames_leave_in_the_order_they_came():
    outbox = new_outbox()
    for frame in (b"a", b"b", b"c"):
        assert outbox.put(frame)

    assert [await outbox.get() for _ in range(3)] == [b"a", b"b", b"c"]
    assert len(outbox) == 0


async def test_a_waiting_reader_gets_the_next_frame():
    outbox = new_outbox()
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.put(b"a")

    assert await reader == b"a"


async def test_a_cancelled_reader_takes_nothing():
    outbox = new_outbox()
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    outbox.put(b"a")

    assert await outbox.get() == b"a"


async def test_answers_and_calls_leave_in_the_order_they_came():
    outbox = new_outbox()
    outbox.put(b"a")
    outbox.put_call(b"b")
    outbox.put(b"c")

    assert [await outbox.get() for _ in range(3)] == [b"a", b"b", b"c"]


async def test_answers_are_taken_as_long_as_those_that_wait_have_less_than_so_many_bytes():
    outbox = new_outbox(max_bytes=1_000)

    assert outbox.put(b"x" * 999)
    assert outbox.put(b"x" * 10_000)
    assert not outbox.put(b"y")


async def test_even_the_smallest_answers_have_a_bound():
    outbox = new_outbox(max_bytes=128_000)

    assert [outbox.put(b"") for _ in range(2000)].count(True) == 1001


async def test_all_calls_of_a_worker_may_be_answered_at_once():
    outbox = new_outbox(max_messages=2)

    assert all(outbox.put(b"stopped") for _ in range(50))


async def test_reading_makes_room():
    outbox = new_outbox(max_messages=2, max_bytes=10)
    for _ in range(100):
        assert outbox.put(b"1234567890")
        outbox.put_call(b"1234567890")
        assert [await outbox.get() for _ in range(2)] == [b"1234567890"] * 2
    assert not outbox.is_crowded


async def test_an_outbox_that_overflowed_stays_closed_and_forgets_what_waited():
    outbox = new_outbox(max_bytes=10)
    outbox.put(b"1234567890")
    outbox.put(b"b")

    assert outbox.is_closed
    assert not outbox.put(b"c")
    outbox.put_call(b"d")
    assert len(outbox) == 0
    with pytest.raises(OutboxEndedError):
        await outbox.get()


@pytest.mark.parametrize(
    ("frames", "is_full"), [([b"x"] * 3, False), ([b"x"] * 4, True), ([b"x" * 9], False), ([b"x" * 10], True)]
)
async def test_an_outbox_is_full_of_so_many_calls_or_so_many_bytes_and_stays_open(frames, is_full):
    outbox = new_outbox(max_messages=4, max_bytes=10)
    for frame in frames:
        outbox.put_call(frame)

    assert outbox.is_full is is_full
    assert outbox.put(b"answer")
    assert not outbox.is_closed


async def test_calls_do_not_wait_with_answers():
    outbox = new_outbox(max_messages=2, max_bytes=10)
    outbox.put(b"1234567890")

    assert not outbox.is_crowded


async def test_that_an_outbox_is_full_is_told_once_until_it_is_no_longer_crowded():
    told = []
    outbox = new_outbox(max_messages=4, on_full=lambda: told.append(len(outbox)))
    for _ in range(5):
        outbox.put_call(b"x")
    await outbox.get()
    await outbox.get()
    outbox.put_call(b"x")
    assert told == [4]
    for _ in range(3):
        await outbox.get()
    for _ in range(3):
        outbox.put_call(b"x")

    assert told == [4, 4]


async def test_what_waits_at_the_end_is_still_delivered():
    outbox = new_outbox()
    outbox.put(b"a")
    outbox.end()

    assert not outbox.put(b"b")
    assert await outbox.get() == b"a"
    with pytest.raises(OutboxEndedError):
        await outbox.get()


async def test_the_end_wakes_a_waiting_reader():
    outbox = new_outbox()
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.end()

    with pytest.raises(OutboxEndedError):
        await reader


def filled(count, patience_s=60):
    outbox = new_outbox(patience_s=patience_s)
    for _ in range(count):
        outbox.put_call(b"x")
    return outbox


@pytest.mark.parametrize(
    ("frames", "is_crowded"), [([b"x"] * 4, False), ([b"x"] * 5, True), ([b"x" * 50], True)]
)
async def test_an_outbox_is_crowded_when_half_of_its_room_is_taken(frames, is_crowded):
    outbox = new_outbox(max_messages=10, max_bytes=100)
    for frame in frames:
        outbox.put_call(frame)

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


async def test_nobody_waits_for_the_outbox_of_a_peer_that_has_left():
    outbox = filled(6)
    waiting = asyncio.ensure_future(outbox.wait_for_room())
    await asyncio.sleep(0)
    outbox.abandon()

    await waiting
    assert len(outbox) == 0


async def test_nobody_waits_for_long_for_an_outbox_that_no_frame_leaves():
    outbox = filled(6, patience_s=0.01)
    await outbox.wait_for_room()

    assert outbox.is_crowded


async def test_an_outbox_that_no_frame_leaves_is_waited_for_once_until_one_does():
    outbox = filled(8, patience_s=0.01)
    await outbox.wait_for_room()
    outbox._patience_s = 60
    await outbox.wait_for_room()
    await outbox.get()
    waiting = asyncio.ensure_future(outbox.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.end()

    await waiting
