"""The real Python SDK registers, changes and watches configuration."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from iii import InitOptions, register_worker
from iii.iii import III

from tests.integration.config.conftest import Site, StartSite
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    # The SDK points to triggers by observation, which this test is not about.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:iii", "ignore:register_trigger"),
]


@asynccontextmanager
async def sdk_worker(site: Site) -> AsyncIterator[III]:
    """A worker with the real SDK, which runs in a thread of its own."""
    options = InitOptions(worker_name="shop", otel={"enabled": False}, enable_metrics_reporting=False)
    worker = await asyncio.to_thread(register_worker, site.bridge.addresses.workers[0], options)
    try:
        yield worker
    finally:
        await asyncio.to_thread(worker.shutdown)
        worker._loop.close()  # the SDK stops its loop and leaves it open


async def test_a_worker_keeps_its_settings_and_hears_of_their_changes(
    start_site: StartSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_LIMIT", "25")
    site = await start_site()
    heard: list[Any] = []
    schema = {"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]}

    async def changed(event: Any) -> None:
        heard.append(event)

    async with sdk_worker(site) as worker:

        async def call(function_id: str, payload: Any) -> Any:
            return await worker.trigger_async(
                {"function_id": f"configuration::{function_id}", "payload": payload}
            )

        worker.register_function("shop::configured", changed)
        worker.register_trigger(
            {
                "type": "configuration",
                "function_id": "shop::configured",
                "config": {"configuration_id": "shop", "event_types": ["configuration:updated"]},
            }
        )
        about = {"id": "shop", "name": "Shop", "description": "Limits.", "schema": schema}
        await call("register", {**about, "initial_value": {"limit": 10}})
        await call("set", {"id": "shop", "value": {"limit": "${SHOP_LIMIT}"}})
        assert (await call("get", {"id": "shop"}))["value"] == {"limit": 25}
        (event,) = await eventually(lambda: heard)
        assert (event["old_value"], event["new_value"]) == ({"limit": 10}, {"limit": 25})
        with pytest.raises(Exception, match="SCHEMA_INVALID"):
            await call("set", {"id": "shop", "value": {"limit": "many"}})
    await site.bridge.stop()
    again = await start_site()
    assert await again.get("shop", raw=True) == {"limit": "${SHOP_LIMIT}"}
