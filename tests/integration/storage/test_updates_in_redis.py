"""Updates in Redis give what they give elsewhere; iii's own Redis adapter differs (spec 03 §5.4)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.builtins.state import State, StateSettings
from bridge.storage import LocalBroker, RedisStore
from tests.integration.storage.redis_server import RedisServer
from tests.unit.builtins.state.engine_harness import EngineHarness
from tests.unit.builtins.test_update_ops import APPENDIX_A, MISSING, A, D, I, Op

ENTRY = {"scope": "vectors", "key": "k"}
WHERE_IIIS_REDIS_DIFFERS: list[tuple[Any, list[Op], Any, list[str]]] = [
    ({"a": {"b": []}}, [A(["a", "b"], "x")], {"a": {"b": ["x"]}}, []),
    ({"a": {}}, [A("a", "x")], {"a": {}}, ["0:append.type_mismatch"]),
    ({"a": [], "b": {}}, [], {"a": [], "b": {}}, []),
    ({"n": 9007199254740993}, [I("n", 1)], {"n": 9007199254740994}, []),
    ({"n": 2**63 - 1}, [I("n", 1)], {"n": 2**63}, []),
    ({"n": None}, [I("n", 1), D("n", 1)], {"n": None}, ["0:increment.not_number", "1:decrement.not_number"]),
    ([1], [A("a", "x")], [1], ["0:append.target_not_object"]),
    (MISSING, [A(["a", "b"], "x")], {"a": {"b": ["x"]}}, []),
    (MISSING, [D("", 4)], -4, []),
    (5, [I("", 3)], 8, []),
]


@pytest.fixture
async def harness(shared_server: RedisServer, prefix: str) -> AsyncIterator[EngineHarness]:
    harness = EngineHarness()
    store = await RedisStore.open(shared_server.url, prefix=prefix)
    State(store, LocalBroker(), StateSettings()).register(harness.engine)
    yield harness
    await harness.aclose()
    await store.close()


@pytest.mark.parametrize(("start", "ops", "expected", "errors"), APPENDIX_A + WHERE_IIIS_REDIS_DIFFERS)
async def test_vectors(
    harness: EngineHarness, start: Any, ops: list[Op], expected: Any, errors: list[str]
) -> None:
    if start is not MISSING:
        await harness.call("state::set", {**ENTRY, "value": start})
    answer = await harness.call("state::update", {**ENTRY, "ops": ops})
    assert answer["old_value"] == (None if start is MISSING else start)
    assert json.dumps(answer["new_value"]) == json.dumps(expected)
    assert [f"{error['op_index']}:{error['code']}" for error in answer.get("errors", [])] == errors
    assert await harness.call("state::get", ENTRY) == expected
