"""A thousand workers with ten functions each: they arrive at once, and come back at once."""

import asyncio
import json

import pytest

from bench.connections import everything_offered, fleet
from bridge.engine.calls import Call
from bridge.listeners.open_files import raise_open_file_limit
from bridge.protocol import payload
from tests.integration.worker_socket.live import LiveBridge, live_bridge

WORKERS, FUNCTIONS = 1000, 10
FUNCTION_IDS = {f"worker-{worker}::f{number}" for worker in range(WORKERS) for number in range(FUNCTIONS)}
BOTH_ENDS_AND_OTHERS = 2 * WORKERS + 200


@pytest.fixture(autouse=True)
def _enough_open_files() -> None:
    limit = raise_open_file_limit()
    assert limit >= BOTH_ENDS_AND_OTHERS, f"only {limit} open files are allowed; raise `ulimit -Hn`"


async def listed(live: LiveBridge, question: str, key: str) -> list[dict[str, object]]:
    outcome = await live.engine.invoke(Call(question, payload.encode({})))
    found: list[dict[str, object]] = json.loads(bytes(outcome.unwrap()))[key]
    return found


async def assert_everything_is_there(live: LiveBridge) -> None:
    """Assert that every worker and function is known, and that each worker answers for itself."""
    functions = await listed(live, "engine::functions::list", "functions")
    assert {each["function_id"] for each in functions} >= FUNCTION_IDS
    workers = await listed(live, "engine::workers::list", "workers")
    counts = [each["function_count"] for each in workers if str(each["name"]).startswith("worker-")]
    assert counts == [FUNCTIONS] * WORKERS
    calls = [Call(function_id, payload.encode([function_id])) for function_id in sorted(FUNCTION_IDS)]
    outcomes = await asyncio.gather(*(live.engine.invoke(call) for call in calls))
    assert [outcome.unwrap() for outcome in outcomes] == [call.data for call in calls]


async def everyone_gone(live: LiveBridge) -> None:
    for worker_id in list(live.engine.workers):
        await live.departure_of(worker_id)


@pytest.mark.timeout(240)  # it takes 8 s alone, and much longer beside other work
async def test_a_thousand_workers_arrive_are_found_and_come_back_after_a_restart():
    async with asyncio.TaskGroup() as tasks:
        async with live_bridge() as first:
            arrived = everything_offered(first.engine, len(FUNCTION_IDS))
            workers = tasks.create_task(fleet(first.url, WORKERS, FUNCTIONS), name="fleet")
            await arrived
            await assert_everything_is_there(first)
        await everyone_gone(first)
        async with live_bridge(port=first.port) as second:
            await everything_offered(second.engine, len(FUNCTION_IDS))
            await assert_everything_is_there(second)
            workers.cancel()
            await asyncio.wait([workers])
            await everyone_gone(second)
            assert not any(second.engine.has_provider(each) for each in FUNCTION_IDS)
