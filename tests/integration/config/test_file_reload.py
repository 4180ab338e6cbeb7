"""The configuration file changes while the bridge runs."""

import asyncio
import json

import httpx
import pytest
from structlog.testing import capture_logs

from tests.integration.config.conftest import StartSite
from tests.support.handlers import Gate, Recording
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

SEED = {"queue_configs": {"orders": {"concurrency": 1}, "old": {}}}


async def test_queues_are_added_changed_and_removed_while_messages_and_connections_go_on(
    start_site: StartSite,
) -> None:
    site = await start_site(iii_queue=SEED)
    gate, recording = Gate(), Recording()
    await site.worker.offer(jobs__slow=gate, jobs__run=recording)
    for n in range(3):
        await site.worker.enqueue("jobs::slow", {"n": n}, "orders")
    await eventually(lambda: len(gate.begun) == 1)
    site.file.write(iii_queue={"queue_configs": {"orders": {"concurrency": 3}, "new": {}}})
    await eventually(lambda: len(gate.begun) == 3)
    gate.open()
    await site.worker.enqueue("jobs::run", {"n": 1}, "new")
    await eventually(lambda: recording.payloads == [{"n": 1}])
    assert set((await site.get("iii-queue"))["queue_configs"]) == {"default", "new", "orders"}
    assert len(gate.begun) == 3, "no message was delivered twice"


async def test_a_bad_edit_changes_nothing_and_says_why_with_the_place(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    with capture_logs() as logs:
        site.file.write(iii_queue={"queue_configs": {"orders": {"concurrency": 0}}})
        (said,) = await eventually(
            lambda: [each for each in logs if each["event"].startswith("configuration not reloaded")]
        )
        assert "queue_configs.orders.concurrency" in said["problems"]
        assert str(site.file.path) in said["problems"]
        site.file.write_text("workers: [")
        await eventually(
            lambda: (
                len([each for each in logs if each["event"].startswith("configuration not reloaded")]) == 2
            )
        )
        site.file.path.unlink()
        await eventually(
            lambda: (
                len([each for each in logs if each["event"].startswith("configuration not reloaded")]) == 3
            )
        )
    assert site.bridge.bridge._live.served.queues["orders"].concurrency == 1
    site.file.write(iii_queue={"queue_configs": {"orders": {"concurrency": 2}}})
    await eventually(lambda: site.bridge.bridge._live.served.queues["orders"].concurrency == 2)


async def test_what_needs_a_restart_is_named_in_one_line_and_the_rest_applies(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    with capture_logs() as logs:
        site.file.write(
            iii_queue={"queue_configs": {}},
            iii_http={"port": 0},
            iii_worker_manager={"port": 0, "handshake_timeout_ms": 5000},
        )
        (said,) = await eventually(lambda: [each for each in logs if "restart" in each["event"]])
        await eventually(lambda: [each for each in logs if each["event"] == "configuration reloaded"])
    assert said["keys"] == ["iii-worker-manager.handshake_timeout_ms", "iii-http"]
    assert set(site.bridge.bridge._live.served.queues) == {"default"}
    assert site.bridge.addresses.http is None
    (applied,) = [each for each in logs if each["event"] == "configuration changed"]
    assert set(applied["keys"]) == {"iii-queue.queue_configs.orders", "iii-queue.queue_configs.old"}


async def test_a_rewrite_that_means_the_same_changes_nothing(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    content = json.loads(site.file.path.read_text())
    with capture_logs() as logs:
        site.file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n# a comment\n")
        await eventually(lambda: [each for each in logs if each["event"] == "configuration reloaded"])
    assert not [each for each in logs if each["event"] == "configuration changed"]


async def test_a_block_that_was_set_stays_in_force_until_it_is_set_to_null(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    await site.set("iii-queue", {"queue_configs": {"set": {}}})
    with capture_logs() as logs:
        site.file.write(iii_queue={"queue_configs": {"file": {}}})
        (said,) = await eventually(
            lambda: [each for each in logs if "what was set with configuration::set" in each["event"]]
        )
    assert said["id"] == "iii-queue"
    assert set(site.bridge.bridge._live.served.queues) == {"default", "set"}
    await site.set("iii-queue", None)
    await eventually(lambda: set(site.bridge.bridge._live.served.queues) == {"default", "file"})


async def test_watchers_of_an_entry_hear_what_the_file_changes(start_site: StartSite) -> None:
    site = await start_site(iii_state={"adapter": {"name": "kv", "config": {"store_method": "in_memory"}}})
    recording = Recording()
    await site.worker.offer(watch=recording)
    await site.worker.trigger(
        "engine::register_trigger",
        {
            "trigger_type": "configuration",
            "function_id": "watch",
            "config": {"configuration_id": "iii-state"},
        },
    )
    site.file.edit(
        iii_state={
            "adapter": {"name": "kv", "config": {"store_method": "in_memory"}},
            "max_value_bytes": 1000,
        }
    )
    (event,) = await eventually(lambda: recording.payloads)
    assert event["event_type"] == "configuration:updated"
    assert event["old_value"]["max_value_bytes"] is None
    assert event["new_value"]["max_value_bytes"] == 1000


async def test_asking_for_a_reload_loads_the_file_at_once(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    with capture_logs() as logs:
        site.bridge.bridge.reload()
        await eventually(lambda: [each for each in logs if each["event"] == "configuration reloaded"])
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        assert (await client.get(f"{site.bridge.addresses.admin}/readyz")).status_code == 200


async def test_the_metrics_follow_the_queues(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)

    async def metrics() -> str:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            return (await client.get(f"{site.bridge.addresses.admin}/metrics")).text

    assert 'queue="old"' in await metrics()
    site.file.write(iii_queue={"queue_configs": {"new": {"dlq": {"capacity": 7}}}})
    await eventually(lambda: "new" in site.bridge.bridge._live.served.queues)
    text = await metrics()
    assert 'iii_queue_dead_letter_capacity{queue="new"} 7.0' in text
    assert 'iii_queue_messages_total{queue="new",result="accepted"} 0.0' in text


async def test_a_bridge_that_has_stopped_reloads_nothing(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    await site.bridge.stop()
    assert "reload configuration" not in {task.get_name() for task in asyncio.all_tasks()}
    site.bridge.bridge.reload()
    assert set(site.bridge.bridge._live.served.queues) == {"default", "old", "orders"}
