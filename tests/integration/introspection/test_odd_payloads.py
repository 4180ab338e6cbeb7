"""No payload makes a built-in function fail inside the bridge, or leaves its caller without an answer."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.worker_socket.test_hostile_frames import ODD_VALUES
from tests.support.fake_sdk import CallFailed, FakeSdk

pytestmark = pytest.mark.integration

SEED = 20_261_121
CALLS_PER_FUNCTION = 40
USUAL_VALUES: list[Any] = ["a", "b", 1, {"a": 1}, [{"type": "set", "path": "x", "value": 1}]]
USUAL_NAMES = ["scope", "key", "stream_name", "group_id", "item_id", "id", "topic", "queue", "data", "value"]


def odd_payloads(dice: random.Random, names: list[str]) -> Iterator[Any]:
    """Yield payloads of wrong types, then objects with the right names and wrong values."""
    yield from dice.sample(ODD_VALUES, 8)
    for _ in range(CALLS_PER_FUNCTION - 8):
        yield {name: dice.choice(ODD_VALUES + USUAL_VALUES) for name in names if dice.random() < 0.8}


async def test_built_in_functions_answer_odd_payloads_and_serve_on(worker: FakeSdk) -> None:
    dice = random.Random(SEED)
    rows = (await worker.trigger("engine::functions::list", {"include_internal": True}))["functions"]
    failed = {}
    for function_id in [row["function_id"] for row in rows]:
        info = await worker.trigger("engine::functions::info", {"function_id": function_id})
        names = list((info.get("request_schema") or {}).get("properties") or USUAL_NAMES)
        for data in odd_payloads(dice, names):
            try:
                await worker.trigger(function_id, data)
            except CallFailed as exc:
                if exc.code == "internal_error":
                    failed[function_id] = (data, exc.message)

    assert failed == {}
    assert (await worker.trigger("engine::functions::list", {"include_internal": True}))["functions"] == rows
