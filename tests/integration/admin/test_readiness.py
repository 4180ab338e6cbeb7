"""A bridge tells the truth about itself while Temporal comes, goes and comes back."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.app import Bridge
from bridge.config import load_config
from tests.support.running_bridge import bridge_config, new_prefix, write_config
from tests.support.temporal_server import free_port, temporal_server
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration


class Admin:
    def __init__(self, url: str) -> None:
        self._url = url

    async def get(self, path: str) -> tuple[int, str]:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            response = await client.get(f"{self._url}{path}")
        return response.status_code, response.text

    async def until_ready(self, *, is_ready: bool) -> dict[str, Any]:
        async def answer() -> dict[str, Any] | None:
            async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
                response = await client.get(f"{self._url}/readyz")
            found: dict[str, Any] = response.json()
            return found if response.is_success is is_ready else None

        return await eventually(answer)


async def test_a_bridge_is_healthy_throughout_and_ready_while_temporal_answers(tmp_path: Path) -> None:
    port = free_port()
    config = bridge_config(f"127.0.0.1:{port}", new_prefix(), {})
    bridge = Bridge(load_config(write_config(tmp_path, config), environ={}))
    running = asyncio.create_task(bridge.run(), name="bridge")
    try:
        admin = Admin((await bridge.listening).admin)
        not_yet = await admin.until_ready(is_ready=False)
        assert not_yet["checks"] == {
            "listeners": "ok",
            "process": "ok",
            "temporal": f"127.0.0.1:{port}/default does not answer",
        }
        assert "iii_temporal_up 0.0" in (await admin.get("/metrics"))[1]

        async with temporal_server(port):
            await admin.until_ready(is_ready=True)
        await admin.until_ready(is_ready=False)
        assert (await admin.get("/healthz"))[0] == 200

        async with temporal_server(port):
            await admin.until_ready(is_ready=True)
    finally:
        bridge.stop()
        await running
