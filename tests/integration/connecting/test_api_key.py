"""API keys for Temporal that are replaced while a bridge runs (docs/connecting.md)."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs
from temporalio.client import Client

from bridge.cli import main
from tests.integration.connecting.deliveries import delivers, has_completed
from tests.support.handlers import Gate
from tests.support.key_proxy import KeyProxy, demanding_key
from tests.support.running_bridge import RunningBridge, bridge_config, running_bridge, write_config
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("looks_often")]

HEARTBEAT = "RecordActivityTaskHeartbeat"
NOT_REPLACED = "temporal credentials not replaced; the old ones stay"


@pytest.fixture
async def proxy(temporal_address: str) -> AsyncIterator[KeyProxy]:
    async with demanding_key(temporal_address, "first") as proxy:
        yield proxy


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("first\n")
    return file


def replace_text(file: Path, text: str | None) -> None:
    """Write a text; `None` takes the file away."""
    if text is None:
        file.unlink()
    else:
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)


def config(proxy: KeyProxy, prefix: str, **temporal: Any) -> dict[str, Any]:
    queues = {"jobs": {"concurrency": 1}}
    return bridge_config(proxy.address, prefix, queues, tls={"enabled": False}, **temporal)


async def test_a_new_key_in_the_file_is_used_at_once_and_nothing_in_flight_is_lost(
    temporal: Client, prefix: str, proxy: KeyProxy, key_file: Path, tmp_path: Path
) -> None:
    gate = Gate()
    path = write_config(tmp_path, config(proxy, prefix, api_key_file=str(key_file)))
    async with running_bridge(path, temporal, prefix) as bridge:
        worker, producer = await bridge.connect(), await bridge.connect()
        await worker.register({"work": gate})
        receipts = [await producer.enqueue("work", {"n": n}, "jobs") for n in range(5)]
        await bridge.eventually_handled(gate.begun, 1)

        proxy.keys = {"first", "second"}
        replace_text(key_file, "second\n")
        await eventually(lambda: proxy.count(HEARTBEAT, "second") >= 1)
        proxy.keys = {"second"}
        await eventually(lambda: proxy.count(HEARTBEAT, "second") >= 3)
        receipts.append(await producer.enqueue("work", {"n": 5}, "jobs"))
        gate.open()

        await has_completed(bridge, *receipts)
    assert sorted(call.data["n"] for call in gate.begun) == list(range(6))
    assert {call.durable["attempt"] for call in gate.begun} == {1}
    with pytest.raises(RuntimeError, match="unauthorized"):
        await Client.connect(proxy.address, api_key="first", tls=False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", r"cannot be read: .*key is empty\. Write the key"),
        ("two words", r"cannot be read: .*key holds more than one word of visible ASCII\. Write the key"),
        (None, r"cannot be read: .*No such file .*key'\. Write the key"),
        ("third", r"does not let them in: Request unauthorized\..* Correct `api_key`"),
    ],
)
async def test_a_key_that_cannot_be_used_leaves_the_old_one_in_force_until_there_is_one_that_can(
    temporal: Client,
    prefix: str,
    proxy: KeyProxy,
    key_file: Path,
    tmp_path: Path,
    content: str | None,
    reason: str,
) -> None:
    path = write_config(tmp_path, config(proxy, prefix, api_key_file=str(key_file)))
    with capture_logs() as logs:
        async with running_bridge(path, temporal, prefix) as bridge:
            replace_text(key_file, content)
            told = await eventually(lambda: [each for each in logs if each["event"] == NOT_REPLACED])
            await delivers(bridge)

            proxy.keys.add("second")
            replace_text(key_file, "second")
            await eventually(lambda: "temporal credentials replaced" in [each["event"] for each in logs])
            proxy.keys = {"second"}
            await delivers(bridge)
    assert (told[0]["address"], told[0]["namespace"]) == (proxy.address, "default")
    assert re.search(reason, told[0]["reason"])


async def test_a_key_that_is_replaced_before_temporal_was_reached_is_used(
    temporal: Client, prefix: str, proxy: KeyProxy, key_file: Path, tmp_path: Path
) -> None:
    replace_text(key_file, "expired")
    path = write_config(tmp_path, config(proxy, prefix, api_key_file=str(key_file)))
    async with running_bridge(path, temporal, prefix, awaits_temporal=False) as bridge:
        await eventually(lambda: "expired" in proxy.refused)
        replace_text(key_file, "first")
        await bridge.bridge.ready
        await delivers(bridge)


@pytest.fixture
async def refused(
    temporal: Client, prefix: str, proxy: KeyProxy, key_file: Path, tmp_path: Path
) -> AsyncIterator[tuple[RunningBridge, list[Any]]]:
    """A bridge whose workers are not let in, and what it logs."""
    proxy.forbidden = {"DescribeNamespace"}
    path = write_config(tmp_path, config(proxy, prefix, api_key_file=str(key_file)))
    with capture_logs() as logs:
        async with running_bridge(path, temporal, prefix) as bridge:
            yield bridge, logs


async def test_workers_that_were_not_let_in_begin_once_they_are(
    refused: tuple[RunningBridge, list[Any]], proxy: KeyProxy
) -> None:
    bridge, logs = refused
    again = "temporal workers ended; starting them again"
    await eventually(lambda: [each["event"] for each in logs].count(again) >= 2)
    proxy.forbidden = set()
    await delivers(bridge)


async def test_a_bridge_that_is_not_let_in_any_more_stops(
    refused: tuple[RunningBridge, list[Any]], proxy: KeyProxy
) -> None:
    bridge, logs = refused
    proxy.keys = set()
    await eventually(lambda: "waiting for temporal" in [each["event"] for each in logs])
    await bridge.stop()


async def test_every_connection_renews_its_own_key(
    temporal: Client,
    temporal_address: str,
    prefix: str,
    proxy: KeyProxy,
    key_file: Path,
    tmp_path: Path,
) -> None:
    other_file = key_file.with_name("other")
    replace_text(other_file, "other")
    async with demanding_key(temporal_address, "other") as elsewhere:
        mapped = {
            "namespace": "default",
            "iii": ["shop"],
            "address": elsewhere.address,
            "api_key_file": str(other_file),
            "tls": {"enabled": False},
        }
        path = write_config(tmp_path, config(proxy, prefix, api_key_file=str(key_file), namespaces=[mapped]))
        async with running_bridge(path, temporal, prefix):
            elsewhere.keys.add("renewed")
            replace_text(other_file, "renewed")
            await eventually(lambda: elsewhere.headers["authorization"] == "Bearer renewed")
            proxy.keys.add("second")
            replace_text(key_file, "second")
            await eventually(lambda: proxy.headers["authorization"] == "Bearer second")
    assert {key for _, key in elsewhere.let_in} == {"other", "renewed"}
    assert {key for _, key in proxy.let_in} == {"first", "second"}


async def test_a_changed_configuration_brings_a_key_and_headers_at_once(
    temporal: Client, prefix: str, proxy: KeyProxy, tmp_path: Path
) -> None:
    path = write_config(tmp_path, config(proxy, prefix, api_key="first"))
    async with running_bridge(path, temporal, prefix) as bridge:
        proxy.keys.add("second")
        changed = config(proxy, prefix, api_key="second", grpc_meta={"tenant-of": "shop"})
        replace_text(path, json.dumps(changed))
        await eventually(lambda: proxy.headers.get("tenant-of") == "shop")
        proxy.keys = {"second"}
        await delivers(bridge)
    assert proxy.headers["tenant-of"] == "shop"


async def test_a_changed_profile_brings_a_key_at_once(
    temporal: Client, prefix: str, proxy: KeyProxy, tmp_path: Path
) -> None:
    profile = tmp_path / "temporal.toml"
    replace_text(profile, "[profile.default]\napi_key = 'first'")
    path = write_config(tmp_path, config(proxy, prefix, config_file=str(profile)))
    async with running_bridge(path, temporal, prefix) as bridge:
        proxy.keys.add("second")
        replace_text(profile, "[profile.default]\napi_key = 'second'")
        await eventually(lambda: proxy.headers.get("authorization") == "Bearer second")
        proxy.keys = {"second"}
        await delivers(bridge)


async def test_commands_that_connect_use_the_file_too(
    prefix: str, proxy: KeyProxy, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command ends the process, which here is also that of the test.
    monkeypatch.setattr("bridge.cli.process.leave", sys.exit)
    monkeypatch.setenv("III_TEMPORAL_API_KEY_FILE", str(key_file))
    command = ["cron", "list", "--json", "--config", str(write_config(tmp_path, config(proxy, prefix)))]
    with capture_logs():
        result = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert {key for _, key in proxy.let_in} == {"first"}
