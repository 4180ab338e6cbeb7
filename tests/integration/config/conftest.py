"""Bridges whose configuration changes while they run."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from bridge.reload import Reloading
from tests.support.fake_sdk import FakeSdk
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge
from tests.support.waiting import eventually

Blocks = dict[str, Any]


class ConfigFile:
    """A configuration file, edited as an editor does it: written beside, then moved into place."""

    def __init__(self, directory: Path, address: str, prefix: str) -> None:
        self.path = directory / "iii-config.yaml"
        self._directory = directory
        self._address = address
        self._prefix = prefix
        self.blocks: Blocks = {}

    def write(self, **blocks: Any) -> None:
        """Write the file with these blocks (`_` is `-`), beside those that every test has."""
        self.blocks = {name.replace("_", "-"): config for name, config in blocks.items()}
        base = bridge_config(self._address, self._prefix, {}, heartbeat_timeout_ms=10_000)["workers"]
        store = {"adapter": {"config": {"directory": str(self._directory / "entries")}}}
        known = [each for each in base if each["name"] not in self.blocks]
        listed = [{"name": name, "config": config} for name, config in self.blocks.items()]
        self.write_text(
            json.dumps({"workers": [*known, {"name": "configuration", "config": store}, *listed]})
        )

    def edit(self, **blocks: Any) -> None:
        """Change some blocks and keep the others."""
        self.write(**{name.replace("-", "_"): config for name, config in self.blocks.items()} | blocks)

    def write_text(self, text: str) -> None:
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self.path)


@dataclass
class Site:
    """A bridge, its file, and a worker that is connected to it."""

    bridge: RunningBridge
    file: ConfigFile
    worker: FakeSdk

    async def get(self, entry_id: str, **more: Any) -> Any:
        return (await self.worker.trigger("configuration::get", {"id": entry_id, **more}))["value"]

    async def set(self, entry_id: str, value: Any) -> Any:
        return await self.worker.trigger("configuration::set", {"id": entry_id, "value": value})

    async def eventually_serves(self, block: str, **keys: Any) -> None:
        """Return as soon as the bridge serves a block with these attributes."""

        def serves() -> bool:
            served = self.bridge.bridge._live.served.block(block)
            return all(getattr(served, name) == value for name, value in keys.items())

        await eventually(serves)


StartSite = Callable[..., Awaitable[Site]]


@pytest.fixture
def config_file(tmp_path: Path, temporal_address: str, prefix: str) -> ConfigFile:
    return ConfigFile(tmp_path, temporal_address, prefix)


@pytest.fixture
async def start_site(
    config_file: ConfigFile, temporal: Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartSite]:
    """Start bridges from the file of the test; they stop when the test ends."""
    monkeypatch.setattr("bridge.app.Reloading", partial(Reloading, look_every_s=0.05))
    async with AsyncExitStack() as exits:

        async def start(**blocks: Any) -> Site:
            config_file.write(**blocks)
            bridge = await exits.enter_async_context(running_bridge(config_file.path, temporal, prefix))
            return Site(bridge, config_file, await bridge.connect())

        yield start
