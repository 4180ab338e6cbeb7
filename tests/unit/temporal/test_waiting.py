"""Who is woken when a function is offered; the search is a fake and so is the clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from temporalio.service import RPCError, RPCStatusCode

from bridge.temporal.waiting import WaitingMessages
from workflows.contract import Tenancy
from workflows.names import search_text


class FakeTemporal:
    """Lists the workflows that wait, and notes who is signalled."""

    def __init__(self, waiting: dict[str, list[str]]) -> None:
        self.waiting = waiting
        self.queries: list[str] = []
        self.signalled: list[tuple[str, str]] = []
        self.gone: set[str] = set()

    async def wait(self) -> "FakeTemporal":
        return self

    async def list_workflows(self, query: str) -> AsyncIterator[Any]:
        self.queries.append(query)
        for workflow_id, functions in self.waiting.items():
            yield SimpleNamespace(id=workflow_id, search_attributes={"IiiWaiting": functions})

    def get_workflow_handle(self, workflow_id: str) -> Any:
        async def signal(_: str, function_id: str) -> None:
            if workflow_id in self.gone:
                raise RPCError("gone", RPCStatusCode.NOT_FOUND, b"")
            self.signalled.append((workflow_id, function_id))

        return SimpleNamespace(signal=signal)


async def first_look(temporal: FakeTemporal, *offered: str, tenancy: Tenancy | None = None) -> None:
    """Offer functions and let the first look at them happen; the clock stands still."""
    names = tenancy or Tenancy("iii")
    waiting = WaitingMessages(temporal, lambda: names)  # type: ignore[arg-type]  # a fake of the same shape
    loop = asyncio.get_running_loop()
    with patch.object(loop, "time", return_value=loop.time()):
        for function_id in offered:
            waiting.function_offered(function_id)
        running = asyncio.create_task(waiting.run())
        await turns(running.done)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def turns(is_enough: Callable[[], bool], count: int = 50) -> None:
    """Let every task that is ready run; what waits for the clock stays where it is."""
    for _ in range(count):
        if is_enough():
            return
        await asyncio.sleep(0)


async def test_only_what_waits_for_an_offered_function_is_woken() -> None:
    temporal = FakeTemporal({"a": ["f"], "b": ["g"], "c": ["f", "h"]})
    await first_look(temporal, "f", "h")
    assert temporal.signalled == [("a", "f"), ("c", "f"), ("c", "h")]


async def test_a_workflow_that_has_ended_does_not_stop_the_others() -> None:
    temporal = FakeTemporal({"a": ["f"], "b": ["f"]})
    temporal.gone = {"a"}
    await first_look(temporal, "f")
    assert temporal.signalled == [("b", "f")]


@pytest.mark.parametrize(
    ("function_id", "value"),
    [
        ("it's", "'it''s'"),
        ("x' OR 'a' = 'a", "'x'' OR ''a'' = ''a'"),
        ("a\0b", "'a\N{REPLACEMENT CHARACTER}b'"),  # no SQL database takes a NUL
    ],
)
async def test_a_function_id_stays_a_value_in_the_query(function_id: str, value: str) -> None:
    temporal = FakeTemporal({"a": [search_text(function_id)]})
    await first_look(temporal, function_id)
    (query,) = temporal.queries
    assert query.startswith(f"IiiWaiting IN ({value}) AND ")
    assert temporal.signalled == [("a", function_id)]


async def test_many_functions_are_searched_for_in_parts() -> None:
    temporal = FakeTemporal({})
    await first_look(temporal, *(f"f{n:03}" for n in range(45)))
    assert [query.count("'f0") for query in temporal.queries] == [20, 20, 5]


async def test_a_storm_of_offers_is_one_search_for_everything_that_waits() -> None:
    temporal = FakeTemporal({"a": ["f00077"], "b": ["other"], "c": ["f09999", "f00001"]})
    await first_look(temporal, *(f"f{n:05}" for n in range(10_000)))
    (query,) = temporal.queries
    assert query.startswith("IiiWaiting IS NOT NULL AND ")
    assert temporal.signalled == [("a", "f00077"), ("c", "f09999"), ("c", "f00001")]


async def test_functions_of_one_search_text_are_told_apart_by_what_waits() -> None:
    long = "x" * 300
    temporal = FakeTemporal({"a": [long[:255]]})
    await first_look(temporal, long + "1", long + "2")
    assert temporal.signalled == [("a", long + "1"), ("a", long + "2")]


async def test_without_search_attributes_nothing_is_searched() -> None:
    temporal = FakeTemporal({"a": ["f"]})
    await first_look(temporal, "f", tenancy=Tenancy("iii", has_search_attributes=False))
    assert temporal.queries == []
