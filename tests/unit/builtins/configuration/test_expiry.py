import asyncio
from collections.abc import Coroutine
from typing import Any

from bridge.builtins.configuration.expiry import Expiry
from bridge.errors import StorageError


class Clock:
    """Time passes when the expiry sleeps; before each sleep something may happen."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.removed: list[tuple[str, float]] = []
        self.meanwhile: list[Any] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.expiry = Expiry(10, self.remove, self.spawn, self.sleep, lambda: self.now_s)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))

    async def sleep(self, duration_s: float) -> None:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        self.now_s += duration_s

    async def remove(self, entry_id: str) -> None:
        self.removed.append((entry_id, self.now_s))
        if entry_id == "broken":
            raise StorageError("disk full")

    async def run(self) -> list[tuple[str, float]]:
        await asyncio.gather(*self.tasks)
        return self.removed


async def test_each_entry_waits_for_its_own_time_in_one_task() -> None:
    clock = Clock()
    for clock.now_s, entry_id in [(0.0, "a"), (1.0, "b"), (2.0, "a"), (3.0, "c")]:
        clock.expiry.begin(entry_id)
    clock.expiry.cancel("c")
    assert await clock.run() == [("b", 11.0), ("a", 12.0)]
    assert len(clock.tasks) == 1


async def test_a_wait_that_begins_again_while_it_ends_begins_from_the_start() -> None:
    clock = Clock()

    def again() -> None:
        clock.now_s = 4.0
        clock.expiry.cancel("a")
        clock.expiry.begin("a")

    clock.expiry.begin("a")
    clock.meanwhile = [again]
    assert await clock.run() == [("a", 14.0)]


async def test_an_entry_that_cannot_be_removed_holds_up_no_other() -> None:
    clock = Clock()
    clock.expiry.begin("broken")
    clock.expiry.begin("a")
    assert [entry_id for entry_id, _ in await clock.run()] == ["broken", "a"]


async def test_after_a_rest_it_works_again() -> None:
    clock = Clock()
    clock.expiry.begin("a")
    await clock.run()
    clock.expiry.begin("b")
    assert [entry_id for entry_id, _ in await clock.run()] == ["a", "b"]
