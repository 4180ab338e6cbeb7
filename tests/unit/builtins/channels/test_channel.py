"""A channel is a bounded, ordered queue whose ends are taken once (spec 04 §6)."""

import asyncio
from collections.abc import Callable

import pytest

from bridge.builtins.channels import Channel, ChannelTable
from bridge.builtins.channels.channel import ChannelReader, ChannelWriter

MINUTE_MS = 60_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


def counting_ids() -> Callable[[], str]:
    count = iter(range(1000))
    return lambda: f"id-{next(count)}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> ChannelTable:
    return ChannelTable(new_id=counting_ids(), now_ms=clock)


def ends_of(channel: Channel) -> tuple[ChannelWriter, ChannelReader]:
    writer, reader = channel.take_writer(), channel.take_reader()
    assert writer is not None
    assert reader is not None
    return writer, reader


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_messages_keep_their_order_and_kind_and_then_the_stream_ends(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create())
    for item in ("text", b"binary", "more"):
        assert await writer.put(item)
    writer.close()
    assert [await reader.get() for _ in range(5)] == ["text", b"binary", "more", None, None]


async def test_waiting_for_a_message_takes_none(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create())
    waiting = asyncio.ensure_future(reader.wait())
    await settle()
    assert not waiting.done()
    await writer.put("message")
    await waiting
    assert reader.is_ready
    assert await reader.get() == "message"
    assert not reader.is_ready
    writer.close()
    await reader.wait()
    assert reader.is_ready


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_reader_that_waits_can_be_woken(is_early: bool, table: ChannelTable) -> None:
    _, reader = ends_of(table.create())
    if is_early:
        reader.wake()
    waiting = asyncio.ensure_future(reader.wait())
    await settle()
    if not is_early:
        assert not waiting.done()
        reader.wake()
    await waiting
    assert not reader.is_ready


def test_each_end_can_be_taken_once(table: ChannelTable) -> None:
    channel = table.create()
    ends_of(channel)
    assert channel.take_writer() is None
    assert channel.take_reader() is None


async def test_a_full_channel_makes_the_writer_wait_for_the_reader(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create(max_messages=2))
    await writer.put("1")
    await writer.put("2")
    third = asyncio.ensure_future(writer.put("3"))
    await settle()
    assert not third.done()
    assert await reader.get() == "1"
    assert await third
    assert [await reader.get(), await reader.get()] == ["2", "3"]


async def test_the_bound_also_counts_bytes(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create(max_bytes=10))
    await writer.put(b"x" * 8)
    second = asyncio.ensure_future(writer.put(b"y" * 3))
    await settle()
    assert not second.done()
    await reader.get()
    assert await second


async def test_a_message_larger_than_the_bound_passes_alone(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create(max_bytes=10))
    assert await writer.put(b"x" * 100)
    assert await reader.get() == b"x" * 100


@pytest.mark.parametrize(("asked", "bound"), [(0, 1), (2, 2), (2048, 1024)])
async def test_the_buffer_size_is_brought_into_its_range(asked: int, bound: int, table: ChannelTable) -> None:
    writer, _ = ends_of(table.create(max_messages=asked))
    for _ in range(bound):
        await writer.put("x")
    extra = asyncio.ensure_future(writer.put("one too many"))
    await settle()
    assert not extra.done()
    extra.cancel()


async def test_a_writer_may_leave_before_the_reader_comes(table: ChannelTable) -> None:
    channel = table.create()
    writer = channel.take_writer()
    assert writer is not None
    await writer.put("kept")
    writer.close()
    reader = channel.take_reader()
    assert reader is not None
    assert [await reader.get(), await reader.get()] == ["kept", None]


async def test_a_writer_learns_that_the_reader_left(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create(max_messages=1))
    await writer.put("dropped")
    waiting = asyncio.ensure_future(writer.put("never taken"))
    await settle()
    reader.close()
    assert await waiting is False
    assert await writer.put("again") is False


async def test_a_reader_waits_for_a_late_message(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create())
    waiting = asyncio.ensure_future(reader.get())
    await settle()
    assert not waiting.done()
    await writer.put("late")
    assert await waiting == "late"


async def test_loaded_messages_pass_the_bounds(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create(max_messages=1))
    writer.load([b"a", b"b", b"c"])
    assert [await reader.get() for _ in range(3)] == [b"a", b"b", b"c"]


def test_both_references_open_the_same_channel(table: ChannelTable) -> None:
    channel = table.create()
    write, read = channel.ref("write"), channel.ref("read")
    assert (write.channel_id, write.access_key) == (read.channel_id, read.access_key)
    assert (write.direction, read.direction) == ("write", "read")
    assert table.find(read.channel_id, read.access_key) is channel


def test_a_wrong_key_and_an_unknown_id_find_nothing(table: ChannelTable) -> None:
    channel = table.create()
    assert table.find(channel.id, "wrong") is None
    assert table.find(channel.id, "ключ") is None
    assert table.find("unknown", channel.access_key) is None


async def test_a_channel_leaves_the_table_when_both_ends_are_done(table: ChannelTable) -> None:
    writer, reader = ends_of(table.create())
    writer.close()
    assert len(table) == 1
    assert await reader.get() is None
    assert len(table) == 0


async def test_only_half_open_channels_expire(table: ChannelTable, clock: Clock) -> None:
    attached, reader_waits, held = table.create(), table.create(), table.create(held=True)
    ends_of(attached)
    waiting_reader = reader_waits.take_reader()
    assert waiting_reader is not None
    table.sweep()
    assert len(table) == 3
    clock.now_ms = 5 * MINUTE_MS + 1
    fresh = table.create()
    table.sweep()
    assert await waiting_reader.get() is None
    assert [table.find(each.id, each.access_key) for each in (attached, reader_waits, held, fresh)] == [
        attached,
        None,
        held,
        fresh,
    ]


async def test_the_writer_of_an_expired_channel_is_cut_at_its_next_message(
    table: ChannelTable, clock: Clock
) -> None:
    writer = table.create().take_writer()
    assert writer is not None
    clock.now_ms = 6 * MINUTE_MS
    table.sweep()
    assert await writer.put("late") is False
