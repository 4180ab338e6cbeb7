"""What iii's console calls, answered in the shapes it reads (spec 05 §6.7).

Its calls about queues and dead letters are tested with those.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.running_bridge import (
    RunningBridge,
    bridge_config,
    new_prefix,
    running_bridge,
    write_config,
)
from tests.support.temporal_server import free_port
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NOTHING: dict[str, Any] = {}
ALL = {"include_internal": True}
ORDER = {"stream_name": "orders", "group_id": "open", "item_id": "o-1", "data": {"n": 1}}

# what is called; with what; the keys of the answer, all of them
CALLS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "engine::health::check": (NOTHING, {"status", "version", "timestamp", "components"}),
    "engine::workers::list": (NOTHING, {"workers", "timestamp"}),
    "engine::functions::list": (ALL, {"functions"}),
    "engine::functions::info": (
        {"function_id": "shop::order"},
        {"function_id", "namespace", "worker_name", "registered_triggers"},
    ),
    "engine::triggers::list": (ALL, {"triggers"}),
    "engine::registered-triggers::list": (ALL, {"registered_triggers"}),
    "engine::metrics::list": (NOTHING, {"engine_metrics", "sdk_metrics", "timestamp"}),
    "engine::rollups::list": (NOTHING, {"rollups", "histogram_rollups", "level", "query", "timestamp"}),
    "engine::alerts::list": (NOTHING, {"alerts", "firing_count", "message", "timestamp"}),
    "engine::sampling::rules": (NOTHING, {"traces", "logs", "timestamp"}),
    "engine::logs::list": ({"limit": 10}, {"logs", "total", "query", "timestamp"}),
    "engine::traces::list": ({"limit": 10}, {"spans", "total", "offset", "limit", "storage"}),
    "engine::traces::tree": ({"trace_id": TRACE}, {"roots", "storage"}),
    "state::list_groups": (NOTHING, {"groups"}),
    "stream::list_all": (NOTHING, {"stream", "count"}),
}
# the list in the answer that must not be empty after what the fixture did
SHOWN = {
    "engine::workers::list": "workers",
    "engine::functions::list": "functions",
    "engine::triggers::list": "triggers",
    "engine::registered-triggers::list": "registered_triggers",
    "engine::logs::list": "logs",
    "engine::traces::list": "spans",
    "engine::traces::tree": "roots",
    "state::list_groups": "groups",
    "stream::list_all": "stream",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bridge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningBridge]:
    """A bridge with every block the console looks into; it needs no Temporal for that."""
    directory: Path = tmp_path_factory.mktemp("console")
    memory = {"adapter": {"name": "kv", "config": {"store_method": "in_memory"}}}
    config = bridge_config(f"127.0.0.1:{free_port()}", new_prefix(), {})
    config["workers"] += [
        {"name": "iii-http", "config": {"port": 0}},
        {"name": "iii-state", "config": memory},
        {"name": "iii-stream", "config": {"port": 0, **memory}},
        {"name": "iii-cron"},
        {
            "name": "configuration",
            "config": {"adapter": {"config": {"directory": str(directory / "config")}}},
        },
    ]
    async with running_bridge(write_config(directory, config), None, "", awaits_temporal=False) as bridge:
        yield bridge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(bridge: RunningBridge) -> FakeSdk:
    """The console, beside a worker that has done a little of everything."""
    worker = await bridge.connect()

    async def order(call: Delivered) -> dict[str, Any]:
        await call.trigger("engine::log::info", {"message": "ordered", "trace_id": TRACE})
        return {"ok": True}

    await worker.register({"shop::order": order})
    cron = {"trigger_type": "cron", "function_id": "shop::order", "config": {"expression": "@daily"}}
    await worker.send({"type": "registertrigger", "id": "nightly", **cron})
    await worker.trigger("state::set", {"scope": "orders", "key": "o-1", "value": {"n": 1}})
    await worker.trigger("stream::set", ORDER)
    await worker.trigger("shop::order", {}, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    return await bridge.connect()


@pytest.mark.parametrize("function_id", CALLS)
async def test_a_call_of_the_console_is_answered_in_its_shape(console: FakeSdk, function_id: str) -> None:
    data, keys = CALLS[function_id]
    answer = await console.trigger(function_id, data)
    assert set(answer) == keys
    if shown := SHOWN.get(function_id):
        assert answer[shown]


async def test_values_are_read_written_and_removed_as_the_console_does(console: FakeSdk) -> None:
    place = {"scope": "orders", "key": "o-2"}
    assert (await console.trigger("state::set", {**place, "value": {"n": 2}}))["new_value"] == {"n": 2}
    assert await console.trigger("state::get", place) == {"n": 2}
    assert {"n": 2} in await console.trigger("state::list", {"scope": "orders"})
    await console.trigger("state::delete", place)
    assert await console.trigger("state::get", place) is None


async def test_a_cron_trigger_is_run_by_calling_its_function_with_iiis_event(
    bridge: RunningBridge, console: FakeSdk
) -> None:
    listed = await console.trigger("engine::registered-triggers::list", {"trigger_type": "cron"})
    (cron,) = listed["registered_triggers"]
    event = {"trigger": "cron", "job_id": cron["id"], "manual": True, "source": "console"}
    assert await console.trigger(cron["function_id"], event) == {"ok": True}
    assert bridge.workers[0].delivered[-1].data.items() >= event.items()


async def test_the_consoles_own_routes_are_served(bridge: RunningBridge, console: FakeSdk) -> None:
    async def status(_: Delivered) -> dict[str, Any]:
        return {"status_code": 200, "body": {"ok": True}}

    await console.register({"engine::console::status": status})
    route = {"api_path": "_console/status", "http_method": "GET"}
    trigger = {"trigger_type": "http", "function_id": "engine::console::status", "config": route}
    await console.send({"type": "registertrigger", "id": "console-status", **trigger})
    await console.settled()
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        answer = await client.get(f"{bridge.addresses.http}/_console/status")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})


async def test_what_was_shown_can_be_cleared(console: FakeSdk) -> None:
    assert (await console.trigger("engine::logs::clear", {}))["success"] is True
    assert (await console.trigger("engine::traces::clear", {}))["success"] is True

    async def is_empty() -> bool:
        return not (await console.trigger("engine::logs::list", {}))["logs"]

    assert await eventually(is_empty)
    assert (await console.trigger("engine::traces::tree", {"trace_id": TRACE}))["roots"] == []
