"""What callers of bulk operations are answered, without Temporal."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.builtins.queue import BulkFunctions
from bridge.errors import EngineError
from tests.unit.engine.peers import Bridge
from workflows.contract import BulkReport, LetterFilter, Update

NOW_MS = 1_780_000_000_000


@dataclass
class Operation:
    decision: Update = Update.REDRIVE
    status: str = "done"
    report: BulkReport = field(default_factory=lambda: BulkReport(matched=3, done=3))
    id: str = "op-1"
    queue: str = "orders"
    began_at_ms: int = NOW_MS


class Setup:
    """Stands for bulk operations and dead letters, too."""

    def __init__(self) -> None:
        self.bridge = Bridge()
        self.operation = Operation()
        self.failure: Exception | None = None
        self.begun: list[tuple[LetterFilter, Update, float | None, int | None]] = []
        self.waited_s: list[float] = []
        BulkFunctions(self, self, self.resolve, lambda: NOW_MS).register(self.bridge.engine)  # type: ignore[arg-type]
        self.caller = self.bridge.connect_greeted()

    async def resolve(self, name: str) -> list[str]:
        return [f"{name}::a", f"{name}::b"] if name == "topic" else [name]

    async def start(
        self,
        queue: str,
        letters: LetterFilter,
        decision: Update,
        *,
        rate_per_s: float | None = None,
        limit: int | None = None,
    ) -> str:
        del queue
        self.begun.append((letters, decision, rate_per_s, limit))
        return "op-1"

    async def wait(self, operation_id: str, within_s: float) -> Operation:
        assert operation_id == "op-1"
        self.waited_s.append(within_s)
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return self.operation

    async def ask(self, function_id: str, /, **data: Any) -> dict[str, Any]:
        answer = await self.caller.call(function_id, data)
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_a_plain_redrive_that_went_well_is_answered_as_in_iii(setup: Setup) -> None:
    assert await setup.ask("iii::queue::redrive", queue="orders") == {"queue": "orders", "redriven": 3}


async def test_one_that_is_not_over_in_time_tells_how_to_follow_it(setup: Setup) -> None:
    setup.operation = Operation(status="running", report=BulkReport(matched=9, done=4))
    answer = await setup.ask("iii::queue::redrive", queue="orders")
    assert list(answer)[:2] == ["queue", "redriven"]
    assert (answer["redriven"], answer["matched"], answer["status"]) == (4, 9, "running")
    assert answer["operation_id"] == "op-1"
    assert setup.waited_s == [20]


async def test_failures_are_told_to_everybody(setup: Setup) -> None:
    setup.operation = Operation(report=BulkReport(matched=3, done=2, failed=1, errors=("r: broken",)))
    answer = await setup.ask("iii::queue::redrive", queue="orders")
    assert (answer["redriven"], answer["failed"], answer["errors"]) == (2, 1, ["r: broken"])


async def test_an_operation_that_has_begun_is_told_of_though_temporal_went_away(setup: Setup) -> None:
    setup.failure = EngineError("away")
    answer = await setup.ask("iii::queue::redrive", queue="orders", wait=False)
    assert (answer["operation_id"], answer["status"]) == ("op-1", "running")
    assert setup.waited_s == [0]


async def test_ages_count_from_now_and_a_topic_is_all_of_its_queues(setup: Setup) -> None:
    setup.operation = Operation(decision=Update.DISCARD)
    await setup.ask(
        "iii::queue::discard", topic="topic", older_than_ms=1000, newer_than_ms=5000, rate_per_s=2, limit=7
    )
    letters = LetterFilter(
        ("topic::a", "topic::b"), failed_from_ms=NOW_MS - 5000, failed_until_ms=NOW_MS - 1000
    )
    assert setup.begun == [(letters, Update.DISCARD, 2, 7)]


def test_introspection_shows_every_key_and_none_of_the_bridges_own(setup: Setup) -> None:
    function = setup.bridge.engine.functions.find("iii::queue::redrive", "default")
    assert function is not None
    keys = set(json.loads(bytes(function.schema.request_format))["properties"])
    assert {"queue", "topic", "function_id", "error", "dry_run", "rate_per_s", "limit", "wait"} <= keys
    assert not [key for key in keys if key.startswith("_")]
