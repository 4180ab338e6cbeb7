"""Slots are given in order, never beyond the limit, and never lost (spec 04 §5.4)."""

import asyncio

import pytest

from bridge.builtins.http.slots import Slots


class Requests:
    """Requests that each hold a slot until they are told to end."""

    def __init__(self, slots: Slots, tasks: asyncio.TaskGroup) -> None:
        self._slots = slots
        self._tasks = tasks
        self._ends: dict[str, asyncio.Event] = {}
        self.served: list[str] = []

    async def begin(self, *names: str) -> list[asyncio.Task[None]]:
        begun = [self._tasks.create_task(self._hold(name)) for name in names]
        await settled()
        return begun

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await settled()

    async def _hold(self, name: str) -> None:
        self._ends[name] = asyncio.Event()
        async with self._slots:
            self.served.append(name)
            await self._ends[name].wait()


async def settled() -> None:
    """Let everything run that can run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_more_than_the_limit_wait_in_the_order_they_came() -> None:
    async with asyncio.TaskGroup() as tasks:
        requests = Requests(Slots(2), tasks)
        await requests.begin(*"abcd")
        assert requests.served == ["a", "b"]
        await requests.end("b")
        assert requests.served == ["a", "b", "c"]
        await requests.end(*"acd")
        assert requests.served == ["a", "b", "c", "d"]


@pytest.mark.parametrize("limit", [0, -1, 1])
async def test_there_is_always_a_slot(limit: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        requests = Requests(Slots(limit), tasks)
        await requests.begin("a", "b")
        assert requests.served == ["a"]
        await requests.end("a", "b")


async def test_a_raised_limit_lets_waiting_ones_in_at_once() -> None:
    async with asyncio.TaskGroup() as tasks:
        slots = Slots(1)
        requests = Requests(slots, tasks)
        await requests.begin(*"abcd")
        slots.resize(3)
        await settled()
        assert requests.served == ["a", "b", "c"]
        await requests.end(*"abcd")


async def test_a_lowered_limit_holds_once_enough_have_ended() -> None:
    async with asyncio.TaskGroup() as tasks:
        slots = Slots(3)
        requests = Requests(slots, tasks)
        await requests.begin(*"abc")
        slots.resize(1)
        await requests.begin("d")
        await requests.end("a", "b")
        assert "d" not in requests.served
        await requests.end("c")
        assert "d" in requests.served
        await requests.end("d")


async def test_one_that_gives_up_leaves_no_gap() -> None:
    async with asyncio.TaskGroup() as tasks:
        requests = Requests(Slots(1), tasks)
        _, waiting, _ = await requests.begin(*"abc")
        waiting.cancel()
        await requests.end("a")
        assert requests.served == ["a", "c"]
        await requests.end("c")


async def test_one_that_gives_up_as_its_turn_comes_passes_it_on() -> None:
    async with asyncio.TaskGroup() as tasks:
        slots = Slots(1)
        requests = Requests(slots, tasks)
        _, waiting, _ = await requests.begin(*"abc")
        slots.resize(2)  # its turn has come, but it has not run yet
        waiting.cancel()
        await settled()
        assert requests.served == ["a", "c"]
        await requests.end("a", "c")
