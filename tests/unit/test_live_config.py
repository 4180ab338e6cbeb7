"""What is in force: the file, and over it what was set while the bridge ran."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.config import BridgeConfig, HttpBlock, StateBlock, load_block, load_config
from bridge.errors import ConfigError
from bridge.live import LiveConfig, LiveMapping


def config_with(**blocks: Any) -> BridgeConfig:
    named = {name: load_block(f"iii-{name}", value) for name, value in blocks.items()}
    return replace(load_config(Path("/dev/null"), environ={}), **named)


def state(**keys: Any) -> StateBlock:
    block = load_block("iii-state", keys)
    assert isinstance(block, StateBlock)
    return block


async def test_a_change_reaches_the_part_and_is_served() -> None:
    live = LiveConfig(config_with(state={}))
    given: list[BridgeConfig] = []

    async def apply(config: BridgeConfig) -> None:
        given.append(config)

    live.on_change("iii-state", apply)
    await live.follow_file(config_with(state={"max_value_bytes": 1000}))
    assert [config.state for config in given] == [state(max_value_bytes=1000)]
    assert live.served.state == state(max_value_bytes=1000)
    await live.follow_file(config_with(state={"max_value_bytes": 1000}))
    assert len(given) == 1


async def test_what_cannot_be_applied_leaves_its_block_and_no_other_as_it_was() -> None:
    live = LiveConfig(config_with(state={}, http={}))

    async def refuse(_: BridgeConfig) -> None:
        raise ConfigError("port taken")

    live.on_change("iii-http", refuse)
    with capture_logs() as logs:
        await live.follow_file(config_with(state={"max_value_bytes": 1000}, http={"port": 4000}))
    assert live.served.http == HttpBlock()
    assert live.served.state == state(max_value_bytes=1000)
    (said,) = [each for each in logs if each["log_level"] == "error"]
    assert (said["keys"], said["reason"]) == (("iii-http.port",), "port taken")


async def test_what_failed_is_tried_again_with_the_next_change_of_the_file() -> None:
    live = LiveConfig(config_with(http={}))
    failures = [ConfigError("port taken")]

    async def fail_once(_: BridgeConfig) -> None:
        if failures:
            raise failures.pop()

    live.on_change("iii-http", fail_once)
    for _ in range(2):
        await live.follow_file(config_with(http={"port": 4000}))
    assert live.served.http == HttpBlock(port=4000)


async def test_an_override_beats_the_file_until_it_is_taken_back() -> None:
    live = LiveConfig(config_with(state={}))
    await live.override("iii-state", state(max_value_bytes=1))
    await live.follow_file(config_with(state={"max_value_bytes": 2}))
    assert live.served.state == state(max_value_bytes=1)
    assert live.is_overridden("iii-state")
    await live.override("iii-state", None)
    assert live.served.state == state(max_value_bytes=2)


async def test_an_override_changes_its_own_block_alone() -> None:
    live = LiveConfig(config_with(state={}))
    file = config_with(state={"adapter": {"name": "redis"}})
    with capture_logs() as logs:
        await live.follow_file(file)
        await live.override("iii-queue", load_block("iii-queue", {"queue_configs": {"a": {}}}))
    assert [each["keys"] for each in logs if "restart" in each["event"]] == [["iii-state.adapter"]]


@pytest.mark.parametrize(
    ("stored", "file", "falls_back"),
    [
        ({"port": 4000}, {"port": 3111}, True),
        ({"port": 4000, "host": "0.0.0.0"}, {"port": 3111, "host": "0.0.0.0"}, True),
        ({"port": 4000, "host": "0.0.0.0"}, {"port": 3111}, True),
        ({"port": 4000, "host": "localhost"}, {"port": 3111, "host": "0.0.0.0"}, False),
        ({"port": 4000, "host": "::1"}, {"port": 3111, "host": "10.0.0.1"}, False),
        ({"port": 3111, "default_timeout": 1}, {"port": 3111}, False),
    ],
)
def test_an_address_gives_way_to_that_of_the_file_unless_more_of_the_world_reaches_that(
    stored: dict[str, Any], file: dict[str, Any], falls_back: bool
) -> None:
    live = LiveConfig(config_with(http=file))
    live.begin_with("iii-http", load_block("iii-http", {"default_timeout": 99, **stored}))
    assert live.fall_back("iii-http") is falls_back
    served = live.served.http
    assert served is not None
    assert served.port == (3111 if falls_back else stored["port"])
    assert served.default_timeout_ms == stored.get("default_timeout", 99), "all but the address stays"


async def test_what_follows_from_the_configuration_follows_it() -> None:
    live = LiveConfig(config_with(queue={"queue_configs": {"a": {"concurrency": 2}}}))
    slots = LiveMapping(live, lambda config: {name: each.concurrency for name, each in config.queues.items()})
    assert dict(slots) == {"default": 10, "a": 2}
    await live.follow_file(config_with(queue={"queue_configs": {"b": {"concurrency": 3}}}))
    assert dict(slots) == {"default": 10, "b": 3}
    assert len(slots) == 2
