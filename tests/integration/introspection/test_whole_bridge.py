"""What a whole bridge tells about itself (spec 05 §9, engine functions)."""

import httpx
import pytest

from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.integration

BUILT_IN = (
    *("engine::", "state::", "stream::", "configuration::", "iii::", "iii-http::", "iii-state::"),
    *(
        "iii-pubsub::",
        "iii-stream::",
        "iii-cron::",
        "iii-queue::",
        "iii-observability::",
        "publish",
        "enqueue",
    ),
)
"""With what the ids of iii's own functions begin (spec 05 §10); the last two are ids themselves."""

OURS = ("chain::", "temporal::")
"""With what the ids of functions begin that only a bridge has."""

OWNERS = {
    "http": "iii-http",
    "cron": "iii-cron",
    "subscribe": "iii-pubsub",
    "state": "iii-state",
    "stream": "iii-stream",
    "stream:join": "iii-stream",
    "stream:leave": "iii-stream",
    "log": "iii-observability",
    "trace": "iii-observability",
}


async def test_every_function_has_a_known_beginning_and_an_owner(worker: FakeSdk) -> None:
    rows = (await worker.trigger("engine::functions::list", {"include_internal": True}))["functions"]

    assert [row["function_id"] for row in rows if not row["function_id"].startswith(BUILT_IN + OURS)] == []
    assert [row["function_id"] for row in rows if not row["worker_name"]] == []
    assert len(rows) > 40


async def test_trigger_types_belong_to_the_workers_of_iii(worker: FakeSdk) -> None:
    rows = (await worker.trigger("engine::triggers::list", {}))["triggers"]
    all_rows = (await worker.trigger("engine::triggers::list", {"include_internal": True}))["triggers"]

    owners = {row["id"]: row["worker_name"] for row in rows}
    assert {type_id: owners.get(type_id) for type_id in OWNERS} == OWNERS
    assert all(row["description"] and "schema" not in " ".join(row) for row in rows)
    assert {row["id"] for row in all_rows} > {row["id"] for row in rows}


async def test_the_type_http_says_what_its_functions_return(worker: FakeSdk) -> None:
    described = await worker.trigger("engine::triggers::info", {"id": "http"})

    assert {"configuration_schema", "request_schema", "response_schema"} <= set(described)


async def test_the_workers_of_iii_are_described_with_what_is_theirs(worker: FakeSdk) -> None:
    state = await worker.trigger("engine::workers::info", {"name": "iii-state"})
    http = await worker.trigger("engine::workers::info", {"name": "iii-http"})

    assert state["worker"]["description"]
    assert state["worker"]["internal"] is False
    assert {"state::get", "state::set"} <= {each["function_id"] for each in state["functions"]}
    assert "http" in {each["id"] for each in http["trigger_types"]}
    assert {each["worker_name"] for each in http["trigger_types"]} == {"iii-http"}


async def test_a_health_check_of_a_worker_is_there_while_its_trigger_is(
    bridge: RunningBridge, worker: FakeSdk
) -> None:
    async def healthy(_: Delivered) -> dict[str, object]:
        return {"status_code": 200, "body": {"status": "healthy", "service": "billing"}}

    async with httpx.AsyncClient(base_url=bridge.addresses.http or "", timeout=PATIENCE_S) as client:
        assert (await client.get("/health")).status_code == 404
        await worker.offer(billing__health=healthy)
        trigger = {"id": "t1", "trigger_type": "http", "function_id": "billing::health"}
        await worker.send(
            {"type": "registertrigger", **trigger, "config": {"api_path": "health", "http_method": "GET"}}
        )
        await worker.settled()
        wanted = {"function_id": "billing::health"}
        (bound,) = (await worker.trigger("engine::registered-triggers::list", wanted))["registered_triggers"]
        assert {key: bound[key] for key in trigger} == trigger
        assert (await client.get("/health")).json() == {"status": "healthy", "service": "billing"}

        await worker.send({"type": "unregistertrigger", "id": "t1"})
        await worker.settled()
        assert (await client.get("/health")).status_code == 404
