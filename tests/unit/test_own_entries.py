"""The settings of the bridge's own workers as entries of `configuration::*`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.builtins.configuration import Configuration
from bridge.config import Block, BridgeConfig, HttpBlock, StateBlock, load_block, load_config
from bridge.config.environment import expand_value
from bridge.errors import FunctionFailedError
from bridge.live import LiveConfig
from bridge.own_entries import OwnEntries
from bridge.storage import MemoryStore
from tests.unit.builtins.state.engine_harness import EngineHarness

TOKEN = "a-token-that-is-long-enough-for-anybody"


def config_with(**http: Any) -> BridgeConfig:
    block = load_block("iii-http", http)
    assert isinstance(block, HttpBlock)
    return replace(load_config(Path("/dev/null"), environ={}), http=block)


class Site(EngineHarness):
    """What a bridge has of its configuration, without anything that is configured."""

    def __init__(self, file: BridgeConfig, store: MemoryStore | None = None) -> None:
        super().__init__()
        self.store = store or MemoryStore()
        self.environ: dict[str, str] = {}
        configuration = Configuration(self.engine, self.store, lambda text: expand_value(text, self.environ))
        configuration.register()
        self.live = LiveConfig(file)
        self.entries = OwnEntries(configuration, self.live)

    @property
    def http(self) -> HttpBlock:
        assert self.live.served.http is not None
        return self.live.served.http

    async def set(self, value: Any) -> None:
        await self.call("configuration::set", {"id": "iii-http", "value": value})
        await self.settle()

    async def get(self) -> Any:
        return (await self.call("configuration::get", {"id": "iii-http"}))["value"]


@pytest.fixture
async def site() -> Site:
    site = Site(config_with(port=3111, tokens=[TOKEN]))
    await site.entries.begin()
    return site


async def test_a_value_that_is_set_is_served_and_survives_a_restart(site: Site) -> None:
    await site.set({"port": 4000})
    assert site.http.port == 4000
    again = Site(config_with(port=3222), site.store)
    await again.entries.begin()
    assert again.http.port == 4000


async def test_no_entry_holds_tokens_and_no_entry_takes_them_away(site: Site) -> None:
    assert "tokens" not in await site.get()
    with pytest.raises(FunctionFailedError, match="tokens"):
        await site.set({"tokens": []})
    await site.set({"port": 4000})
    assert [each.get_secret_value() for each in site.http.tokens] == [TOKEN]


async def test_a_variable_that_goes_missing_keeps_what_is_in_force(site: Site) -> None:
    site.environ["P"] = "4000"
    await site.set({"port": "${P}"})
    assert site.http.port == 4000
    del site.environ["P"]
    with capture_logs() as logs:
        await site.set({"port": "${P}", "default_timeout": 1})
    assert site.http.port == 4000
    assert "'P' is not set" in logs[0]["reason"]


async def test_a_store_that_fails_keeps_what_is_in_force(site: Site) -> None:
    await site.set({"port": 4000})
    await site.store.close()
    with capture_logs() as logs:
        assert await site.call("iii-http::on-config-change", {}) == {"ok": True}
    assert site.http.port == 4000
    assert logs[0]["log_level"] == "error"


async def test_a_stored_value_of_another_version_leaves_the_file_in_force(site: Site) -> None:
    await site.store.set(
        "entries",
        "iii-http",
        b'{"id":"iii-http","name":"","description":"","schema":{},"value":{"gone":1}}',
    )
    again = Site(config_with(port=3222), site.store)
    with capture_logs() as logs:
        await again.entries.begin()
    assert again.http.port == 3222
    assert "unknown key `gone`" in logs[0]["reason"]


async def test_what_no_version_has_written_leaves_the_file_in_force(site: Site) -> None:
    await site.store.set("entries", "iii-http", b'{"value":{"port":4000}}')
    again = Site(config_with(port=3222), site.store)
    with capture_logs() as logs:
        await again.entries.begin()
    assert again.http.port == 3222
    assert "no entry of this version" in logs[0]["reason"]
    with pytest.raises(FunctionFailedError) as caught:
        await again.get()
    assert caught.value.failure_code == "ADAPTER_ERROR"


async def test_a_value_without_an_adapter_keeps_that_of_the_file() -> None:
    redis = load_block("iii-state", {"adapter": {"name": "redis"}})
    assert isinstance(redis, StateBlock)
    site = Site(replace(config_with(), state=redis))
    await site.entries.begin()
    for value, adapter in [({"max_value_bytes": 9}, "redis"), ({"adapter": {"name": "kv"}}, "kv")]:
        await site.call("configuration::set", {"id": "iii-state", "value": value})
        await site.settle()
        again = Site(site.live.file, site.store)
        await again.entries.begin()
        assert again.live.served.state is not None
        assert again.live.served.state.adapter.name == adapter


async def test_an_entry_takes_what_the_file_takes(site: Site) -> None:
    await site.set({"concurrency_request_limit": 0})
    assert site.http.concurrency_request_limit == 1


@pytest.mark.parametrize(
    "name",
    [
        "iii-cron",
        "iii-http",
        "iii-observability",
        "iii-pubsub",
        "iii-queue",
        "iii-state",
        "iii-stream",
    ],
)
def test_what_a_block_shows_can_be_read_again(name: str) -> None:
    block = load_block(name, {})
    shown = block.model_dump(mode="json", by_alias=True, exclude=set(block.file_only))
    again: Block = load_block(name, shown)
    assert again == block
