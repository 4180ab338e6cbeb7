"""An engine that serves `configuration::*`, and the environment that its values are read in."""

import asyncio
from typing import Any

import pytest

from bridge.builtins.configuration import Configuration, OwnedEntry
from bridge.config.environment import expand_value
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.storage import KeyValueStore, MemoryStore
from tests.unit.builtins.state.engine_harness import EngineHarness

PORT_SCHEMA = {
    "type": "object",
    "properties": {"port": {"type": "integer", "maximum": 65535}, "host": {"type": "string"}},
    "additionalProperties": False,
}


class ConfigurationHarness(EngineHarness):
    def __init__(self, *, ttl_s: float = 0, store: KeyValueStore | None = None) -> None:
        super().__init__()
        self.environ: dict[str, str] = {}
        self.expired = asyncio.Event()
        self.configuration = Configuration(
            self.engine,
            store or MemoryStore(),
            lambda text: expand_value(text, self.environ),
            ttl_s=ttl_s,
            sleep=self._sleep,
        )
        self.configuration.register()

    async def register(self, entry_id: str = "api", schema: Any = PORT_SCHEMA, **more: Any) -> Any:
        about = {"id": entry_id, "name": "API", "description": "Where it listens.", "schema": schema}
        return await self.call("configuration::register", {**about, **more})

    async def set(self, value: Any, entry_id: str = "api") -> Any:
        return await self.call("configuration::set", {"id": entry_id, "value": value})

    async def get(self, entry_id: str = "api", *, raw: bool = False) -> Any:
        return (await self.call("configuration::get", {"id": entry_id, "raw": raw}))["value"]

    async def refused(self, function_id: str, data: Any) -> FunctionFailedError:
        """Call a function that must fail with an error, and return that."""
        with pytest.raises(FunctionFailedError) as caught:
            await self.call(f"configuration::{function_id}", data)
        return caught.value

    def own(self, entry_id: str = "iii-http", value: Any = None) -> "Owner":
        """Add an entry of the bridge itself."""
        owner = Owner({"port": 3111} if value is None else value)
        self.configuration.own(
            OwnedEntry(
                entry_id,
                "HTTP",
                "The HTTP API.",
                payload.encode(PORT_SCHEMA),
                lambda: payload.encode(owner.from_file),
                owner.check,
            ),
            owner.apply,
        )
        return owner

    async def _sleep(self, _: float) -> None:
        await self.expired.wait()


class Owner:
    """A worker of the bridge: what the file gives it, and how often it was told to look again."""

    def __init__(self, from_file: Any) -> None:
        self.from_file = from_file
        self.told = 0

    async def apply(self) -> None:
        self.told += 1

    def check(self, value: Any) -> None:
        if value.get("port") == 1:
            raise FunctionFailedError("SCHEMA_INVALID", "port 1 is never right")
