import asyncio

import pytest

from bridge.listeners.outbox import Outbox
from bridge.listeners.pressure import MOST_BYTES, MOST_CALLS, Pressure, note_pressure


def outbox_with(calls):
    outbox = Outbox(max_messages=10, max_bytes=10_000, patience_s=60, on_full=lambda: None)
    for _ in range(calls):
        outbox.put_call(b"x")
    return outbox


@pytest.fixture
def pressure():
    return Pressure()


@pytest.mark.parametrize(
    ("sizes_bytes", "is_high"),
    [
        ([1] * (MOST_CALLS - 1), False),
        ([1] * MOST_CALLS, True),
        ([MOST_BYTES - 1], False),
        ([MOST_BYTES], True),
    ],
    ids=["few", "many", "small", "large"],
)
async def test_who_calls_now_and_then_need_not_wait(pressure, sizes_bytes, is_high):
    pressure.begin()
    crowded = outbox_with(calls=5)
    for size_bytes in sizes_bytes:
        note_pressure(crowded, size_bytes)

    assert pressure.is_high is is_high


async def test_calls_into_an_outbox_with_room_do_not_count(pressure):
    pressure.begin()
    for _ in range(MOST_CALLS):
        note_pressure(outbox_with(calls=4), 1)

    assert not pressure.is_high


async def test_calls_count_at_the_connection_that_set_them_in_motion(pressure):
    other = Pressure()

    async def serve(own):
        own.begin()
        await asyncio.create_task(call(), name="what it set in motion")

    async def call():
        for _ in range(MOST_CALLS):
            note_pressure(crowded, 1)

    crowded = outbox_with(calls=5)
    await asyncio.create_task(serve(pressure), name="connection")

    assert pressure.is_high
    assert not other.is_high


async def test_whoever_made_several_outboxes_crowded_waits_for_all_of_them_and_then_begins_anew(pressure):
    outboxes = [outbox_with(calls=5), outbox_with(calls=5)]
    for outbox in outboxes:
        for _ in range(MOST_CALLS):
            pressure.note(outbox, 1)
    waiting = asyncio.ensure_future(pressure.relieve())
    for outbox in outboxes:
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.get()

    await waiting
    assert not pressure.is_high
    outboxes[0].put_call(b"x")
    await pressure.relieve()  # of what it did earlier nothing is left to wait for
