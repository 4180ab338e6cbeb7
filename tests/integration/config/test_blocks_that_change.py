"""Blocks other than the queues change while the bridge runs (spec 03 §5.6, 04 §5.5, 05 §9)."""

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from tests.integration.config.conftest import Site, StartSite
from tests.support.fake_sdk import CallFailed, Delivered, connected
from tests.support.handlers import Recording
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

KV = {"name": "kv", "config": {"store_method": "in_memory"}}


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def serve_hello(site: Site) -> None:
    async def hello(_: Delivered) -> dict[str, Any]:
        return {"status_code": 200, "body": "hello"}

    await site.worker.offer(web__hello=hello)
    await site.worker.trigger(
        "engine::register_trigger",
        {"trigger_type": "http", "function_id": "web::hello", "config": {"api_path": "hello"}},
    )


async def answers(port: int) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/hello")).text == '"hello"'
        except httpx.TransportError:
            return False


class TestHttp:
    async def test_the_first_boot_shows_the_seed(self, start_site: StartSite) -> None:
        site = await start_site(iii_http={"port": 0, "default_timeout": 4321})
        value = await site.get("iii-http")
        assert (value["port"], value["host"], value["default_timeout"]) == (0, "127.0.0.1", 4321)
        assert "tokens" not in value
        assert "tls" not in value

    async def test_a_timeout_is_applied_without_binding_again(self, start_site: StartSite) -> None:
        site = await start_site(iii_http={"port": 0})
        await serve_hello(site)
        url = f"{site.bridge.addresses.http}/hello"
        await site.set("iii-http", {"port": 0, "default_timeout": 1234})
        await site.eventually_serves("iii-http", default_timeout_ms=1234)
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            assert (await client.get(url)).status_code == 200

    @pytest.mark.parametrize("way", ["set", "template", "file"])
    async def test_a_new_port_answers_and_the_old_one_does_not(
        self, start_site: StartSite, monkeypatch: pytest.MonkeyPatch, port: int, way: str
    ) -> None:
        site = await start_site(iii_http={"port": 0})
        await serve_hello(site)
        old = httpx.URL(site.bridge.addresses.http or "").port
        assert old is not None
        async with httpx.AsyncClient(timeout=PATIENCE_S) as kept_alive:
            assert (await kept_alive.get(f"http://127.0.0.1:{old}/hello")).status_code == 200
            match way:
                case "set":
                    await site.set("iii-http", {"port": port})
                case "template":
                    monkeypatch.setenv("HTTP_PORT", str(port))
                    await site.set("iii-http", {"port": "${HTTP_PORT:1}"})
                    assert await site.get("iii-http", raw=True) == {"port": "${HTTP_PORT:1}"}
                case _:
                    site.file.edit(iii_http={"port": port})
            await eventually(lambda: answers(port))
            with pytest.raises(httpx.TransportError):
                await kept_alive.get(f"http://127.0.0.1:{old}/hello")

    async def test_a_port_that_is_taken_changes_nothing(self, start_site: StartSite) -> None:
        site = await start_site(iii_http={"port": 0})
        await serve_hello(site)
        old = httpx.URL(site.bridge.addresses.http or "").port
        assert old is not None
        with closing(socket.create_server(("127.0.0.1", 0))) as taken, capture_logs() as logs:
            taken_port = taken.getsockname()[1]
            await site.set("iii-http", {"port": taken_port, "default_timeout": 1})
            (said,) = await eventually(lambda: [each for each in logs if each["log_level"] == "error"])
        assert f"127.0.0.1:{taken_port} is already in use" in said["reason"]
        assert await answers(old)
        await site.eventually_serves("iii-http", port=0, default_timeout_ms=30_000)

    async def test_a_stored_address_that_cannot_be_bound_gives_way_to_that_of_the_file(
        self, start_site: StartSite, port: int
    ) -> None:
        site = await start_site(iii_http={"port": 0})
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            await site.set("iii-http", {"port": taken.getsockname()[1]})
            await site.bridge.stop()
            again = await start_site(iii_http={"port": port})
            await serve_hello(again)
            assert again.bridge.addresses.http == f"http://127.0.0.1:{port}"
            assert await answers(port)

    async def test_but_not_if_more_of_the_world_reaches_that(self, start_site: StartSite) -> None:
        site = await start_site(iii_http={"port": 0})
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            taken_port = taken.getsockname()[1]
            await site.set("iii-http", {"port": taken_port})
            await site.bridge.stop()
            with pytest.raises(Exception, match=f"127.0.0.1:{taken_port} is already in use"):
                await start_site(iii_http={"port": 0, "host": "0.0.0.0"})


async def test_state_takes_its_limit_and_its_triggers_live(start_site: StartSite) -> None:
    site = await start_site(iii_state={"adapter": KV})
    recording = Recording()
    await site.worker.offer(watch=recording)
    await site.worker.trigger(
        "engine::register_trigger", {"trigger_type": "state", "function_id": "watch", "config": {}}
    )
    entry = {"scope": "orders", "key": "o-1", "value": "x" * 100}
    await site.set("iii-state", {"adapter": KV, "triggers_enabled": False, "max_value_bytes": 50})
    await site.eventually_serves("iii-state", triggers_enabled=False, max_value_bytes=50)
    with pytest.raises(CallFailed, match="VALUE_TOO_LARGE"):
        await site.worker.trigger("state::set", entry)
    await site.worker.trigger("state::set", {**entry, "value": "unheard"})
    await site.set("iii-state", {"adapter": KV})
    await site.eventually_serves("iii-state", triggers_enabled=True, max_value_bytes=None)
    await site.worker.trigger("state::set", {**entry, "value": "heard"})
    await eventually(lambda: recording.of("new_value") == ["heard"])


async def test_another_adapter_needs_a_restart_and_the_data_stays_where_it_is(
    start_site: StartSite, tmp_path: Path
) -> None:
    site = await start_site(iii_state={"adapter": KV})
    entry = {"scope": "orders", "key": "o-1"}
    await site.worker.trigger("state::set", {**entry, "value": 7})
    on_disk = {"name": "kv", "config": {"store_method": "file_based", "file_path": str(tmp_path / "state")}}
    with capture_logs() as logs:
        await site.set("iii-state", {"adapter": on_disk, "max_value_bytes": 1000})
        (said,) = await eventually(lambda: [each for each in logs if "restart" in each["event"]])
    assert said["keys"] == ["iii-state.adapter.config.store_method", "iii-state.adapter.config.file_path"]
    assert await site.worker.trigger("state::get", entry) == 7
    await site.bridge.stop()
    again = await start_site(iii_state={"adapter": KV})
    assert await again.worker.trigger("state::get", entry) is None
    assert (tmp_path / "state").exists()


async def test_streams_move_to_another_port_and_ask_another_auth_function(
    start_site: StartSite, port: int
) -> None:
    site = await start_site(iii_stream={"port": 0, "adapter": KV})
    asked = Recording()
    await site.worker.offer(auth__who=asked)
    async with connect(site.bridge.addresses.stream or "") as client:
        await site.set("iii-stream", {"port": 0, "adapter": KV, "auth_function": "auth::who"})
        await site.eventually_serves("iii-stream", auth_function="auth::who")
        async with connect(site.bridge.addresses.stream or ""):
            await eventually(lambda: len(asked.payloads) == 1)
        await site.set("iii-stream", {"port": port, "adapter": KV, "auth_function": "auth::who"})
        await client.wait_closed()
    async with connect(f"ws://127.0.0.1:{port}"):
        await eventually(lambda: len(asked.payloads) == 2)
    with pytest.raises(OSError, match=r"refused|failed"):
        await connect(site.bridge.addresses.stream or "")


async def test_streams_stay_where_they_are_if_the_new_port_is_taken(start_site: StartSite) -> None:
    site = await start_site(iii_stream={"port": 0, "adapter": KV})
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, capture_logs() as logs:
        async with connect(site.bridge.addresses.stream or "") as client:
            await site.set("iii-stream", {"port": taken.getsockname()[1], "adapter": KV})
            (said,) = await eventually(lambda: [each for each in logs if each["log_level"] == "error"])
            assert "already in use" in said["reason"]
            await (await client.ping())
    await site.eventually_serves("iii-stream", port=0)


async def test_pubsub_stays_where_it_is_if_the_new_server_does_not_answer(
    start_site: StartSite, port: int
) -> None:
    site = await start_site(iii_pubsub={})
    recording = Recording()
    await site.worker.offer(hear=recording)
    await site.worker.trigger(
        "engine::register_trigger",
        {"trigger_type": "subscribe", "function_id": "hear", "config": {"topic": "orders"}},
    )
    url = f"redis://127.0.0.1:{port}"
    with capture_logs() as logs:
        await site.set("iii-pubsub", {"adapter": {"name": "redis", "config": {"redis_url": url}}})
        await eventually(lambda: [each for each in logs if each["log_level"] == "error"])
    await site.worker.trigger("publish", {"topic": "orders", "data": 1})
    await eventually(lambda: recording.payloads == [1])


async def test_other_commands_take_the_place_of_those_that_run(start_site: StartSite, tmp_path: Path) -> None:
    def command(name: str) -> dict[str, Any]:
        return {"exec": [f"echo > {tmp_path}/{name}; sleep 600; echo > {tmp_path}/never"]}

    site = await start_site(iii_exec=command("first"))
    await eventually((tmp_path / "first").exists)
    site.file.edit(iii_exec=command("second"))
    await eventually((tmp_path / "second").exists)
    await site.bridge.stop()
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "adapter",
    [
        {"name": "kafka"},
        {"name": "kv", "config": {"store_method": "cloud"}},
        {"name": "kv", "config": {"stray": 1}},
        {"name": "redis", "config": {"lock_ttl_ms": 1}},
    ],
)
async def test_an_adapter_of_cron_is_checked(start_site: StartSite, adapter: Any) -> None:
    site = await start_site(iii_cron={"adapter": {"name": "kv"}})
    with pytest.raises(CallFailed) as caught:
        await site.set("iii-cron", {"adapter": adapter})
    assert caught.value.code == "SCHEMA_INVALID"
    assert (await site.get("iii-cron"))["adapter"]["name"] == "kv"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("bridge")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(before)


async def test_the_level_of_the_log_changes_at_once(start_site: StartSite, logger: logging.Logger) -> None:
    site = await start_site()
    await site.set("iii-observability", {"level": "error"})
    await eventually(lambda: logger.level == logging.ERROR)
    await site.set("iii-observability", None)
    await eventually(lambda: logger.level == logging.INFO)


async def test_logs_are_switched_off_sampled_bounded_and_switched_on_again(start_site: StartSite) -> None:
    site = await start_site()
    recording = Recording()
    await site.worker.offer(hear=recording)
    await site.worker.trigger(
        "engine::register_trigger", {"trigger_type": "log", "function_id": "hear", "config": {}}
    )

    async def say(text: str) -> None:
        await site.worker.trigger("engine::log::warn", {"message": text})

    async def kept() -> list[str]:
        listed = await site.worker.trigger("engine::logs::list", {})
        return [each["body"] for each in listed["logs"] if each["service_name"] == "unknown"]

    base = {"logs_exporter": "memory"}
    await say("one")
    await site.set("iii-observability", {**base, "logs_enabled": False})
    await site.eventually_serves("iii-observability", logs_enabled=False)
    await say("two")
    await site.set("iii-observability", {**base, "logs_sampling_ratio": 0})
    await site.eventually_serves("iii-observability", logs_sampling_ratio=0)
    await say("three")
    await site.set("iii-observability", {**base, "logs_max_count": 2})
    await site.eventually_serves("iii-observability", logs_max_count=2)
    await say("four")
    await say("five")
    await eventually(lambda: "five" in recording.of("body"))
    assert not {"two", "three"} & set(recording.of("body"))
    assert len(await kept()) <= 2


async def test_alert_rules_of_the_same_name_keep_how_they_stand(start_site: StartSite) -> None:
    rule = {
        "name": "busy",
        "metric": "iii.workers.active",
        "threshold": 0,
        "operator": "greaterthan",
        "action": {"type": "log"},
    }
    site = await start_site(iii_observability={"alerts": [rule]})
    await site.worker.trigger("engine::alerts::evaluate", {})
    (before,) = (await site.worker.trigger("engine::alerts::list", {}))["alerts"]
    assert before["firing"] is True
    await site.set("iii-observability", {"alerts": [{**rule, "threshold": 0.5}, {**rule, "name": "new"}]})
    await eventually(lambda: len(site.bridge.bridge._live.served.observability.alerts) == 2)
    kept, new = (await site.worker.trigger("engine::alerts::list", {}))["alerts"]
    assert (kept["firing"], kept["last_triggered"], kept["threshold"]) == (
        True,
        before["last_triggered"],
        0.5,
    )
    assert (new["firing"], new["last_triggered"]) == (False, None)


async def test_rules_of_a_listener_hold_for_connections_from_then_on(start_site: StartSite) -> None:
    site = await start_site(iii_worker_manager={"port": 0, "rbac": {"expose_functions": []}})
    site.file.edit(
        iii_worker_manager={"port": 0, "rbac": {"expose_functions": [{"match": "configuration::*"}]}}
    )

    async def is_let_in() -> bool:
        async with connected(site.bridge.addresses.workers[0]) as newcomer:
            try:
                await newcomer.trigger("configuration::list", {})
            except CallFailed as exc:
                return exc.code != "FORBIDDEN"
            return True

    await eventually(is_let_in)
    with pytest.raises(CallFailed, match="FORBIDDEN"):
        await site.worker.trigger("configuration::list", {})


async def test_every_entry_of_the_bridge_has_a_closed_schema_and_shows_its_value(
    start_site: StartSite,
) -> None:
    site = await start_site(
        iii_http={"port": 0},
        iii_stream={"port": 0, "adapter": KV},
        iii_state={"adapter": KV},
        iii_pubsub={},
        iii_cron={},
    )
    rows = (await site.worker.trigger("configuration::list", {}))["configurations"]
    assert [row["id"] for row in rows] == [
        "iii-cron",
        "iii-http",
        "iii-observability",
        "iii-pubsub",
        "iii-queue",
        "iii-state",
        "iii-stream",
    ]
    for row in rows:
        assert row["schema"]["additionalProperties"] is False
        value = await site.get(row["id"])
        await site.set(row["id"], value)
        assert await site.get(row["id"]) == value
    http = await site.worker.trigger("configuration::schema", {"id": "iii-http"})
    assert "65535" in http["schema"]["properties"]["port"]["description"]
    hidden = await site.worker.trigger("engine::functions::list", {})
    assert "on-config-change" not in str(hidden)
    shown = await site.worker.trigger("engine::functions::list", {"include_internal": True})
    assert {f"{row['id']}::on-config-change" for row in rows} <= {
        each["function_id"] for each in shown["functions"]
    }
