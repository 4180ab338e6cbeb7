"""The queues of a bridge change while it runs (spec 02 §9, queue_configuration_e2e)."""

from typing import Any

import pytest

from tests.integration.config.conftest import Site, StartSite
from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Gate, Recording
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SEED = {"queue_configs": {"orders": {"max_retries": 2, "concurrency": 1}}}


async def deliver(site: Site, queue: str) -> None:
    """Send a message through a queue, and return when it has arrived."""
    recording = Recording()
    await site.worker.offer(jobs__run=recording)
    await site.worker.enqueue("jobs::run", {"n": 1}, queue)
    await eventually(lambda: recording.payloads == [{"n": 1}])


async def queues_of(site: Site) -> set[str]:
    return set((await site.get("iii-queue"))["queue_configs"])


async def test_the_first_boot_shows_the_seed_and_a_default_queue(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    value = await site.get("iii-queue")
    assert set(value["queue_configs"]) == {"default", "orders"}
    assert value["queue_configs"]["orders"]["max_retries"] == 2


async def test_a_runtime_edit_beats_the_file_after_a_restart(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    before = site.file.path.read_bytes()
    await site.set("iii-queue", {"queue_configs": {"express": {}}})
    await site.bridge.stop()
    assert site.file.path.read_bytes() == before, "the file is the operator's"
    again = await start_site(iii_queue=SEED)
    assert await queues_of(again) == {"express"}
    await deliver(again, "express")
    with pytest.raises(CallFailed, match=r"enqueue_error: Queue 'orders' not found"):
        await again.worker.enqueue("jobs::run", {}, "orders")


async def test_a_queue_that_is_added_appears_and_delivers(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    await site.set("iii-queue", {"queue_configs": {**SEED["queue_configs"], "express": {}}})
    await eventually(lambda: "express" in site.bridge.bridge._live.served.queues)
    await deliver(site, "express")
    await deliver(site, "orders")
    listed = await site.worker.trigger("engine::queue::list_topics", {})
    assert {"default", "express", "orders"} <= {each["name"] for each in listed}


async def test_a_changed_concurrency_is_applied_and_still_delivers(start_site: StartSite) -> None:
    site = await start_site(iii_queue=SEED)
    gate = Gate()
    await site.worker.offer(jobs__slow=gate)
    for n in range(3):
        await site.worker.enqueue("jobs::slow", {"n": n}, "orders")
    await eventually(lambda: len(gate.begun) == 1)
    await site.set("iii-queue", {"queue_configs": {"orders": {"concurrency": 3}}})
    await eventually(lambda: len(gate.begun) == 3)
    gate.open()
    stats = await site.worker.trigger("engine::queue::topic_stats", {"topic": "orders"})
    assert stats["consumer_count"] == 3
    assert len(gate.begun) == 3


async def test_a_removed_queue_takes_nothing_and_keeps_what_it_has_until_it_is_back(
    start_site: StartSite,
) -> None:
    site = await start_site(iii_queue=SEED)
    gate = Gate()
    await site.worker.offer(jobs__slow=gate)
    for n in range(2):
        await site.worker.enqueue("jobs::slow", {"n": n}, "orders")
    await eventually(lambda: len(gate.begun) == 1)
    await site.set("iii-queue", {"queue_configs": {}})

    async def is_refused() -> bool:
        try:
            await site.worker.enqueue("jobs::slow", {"n": 9}, "orders")
        except CallFailed as exc:
            return exc.code == "enqueue_error" and "not found" in exc.message
        raise AssertionError("the queue was to be gone")

    await eventually(lambda: "orders" not in site.bridge.bridge._live.served.queues)
    assert await is_refused()
    gate.open()
    await deliver(site, "default")
    assert [call.data["n"] for call in gate.begun] == [0]
    await site.set("iii-queue", SEED)
    await eventually(lambda: [call.data["n"] for call in gate.begun] == [0, 1])


async def test_messages_keep_the_rules_they_were_enqueued_with(start_site: StartSite) -> None:
    site = await start_site(iii_queue={"queue_configs": {"orders": {"max_retries": 2, "backoff_ms": 1}}})
    attempts: list[int] = []

    async def fail(call: Delivered) -> None:
        attempts.append(call.durable["attempt"])
        raise RuntimeError("no")

    await site.worker.enqueue("jobs::fail", {}, "orders")
    await site.set("iii-queue", {"queue_configs": {"orders": {"max_retries": 5, "backoff_ms": 1}}})
    await eventually(lambda: site.bridge.bridge._live.served.queues["orders"].max_retries == 5)
    await site.worker.offer(jobs__fail=fail)
    await site.bridge.dead_letters("orders")
    assert attempts == [1, 2]


@pytest.mark.parametrize("name", ["redis", "rabbitmq", "bridge"])
async def test_another_adapter_has_no_effect(start_site: StartSite, name: str) -> None:
    """It is not even connected to: queues are in Temporal."""
    site = await start_site(iii_queue=SEED)
    await site.set("iii-queue", {"adapter": {"name": name}, "queue_configs": {"express": {}}})
    await eventually(lambda: "express" in site.bridge.bridge._live.served.queues)
    await deliver(site, "express")
    await site.bridge.stop()
    again = await start_site()
    await deliver(again, "express")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"adapter": {"name": "kafka"}}, "adapter"),
        ({"queue_configs": {"pay": {"type": "fifo"}}}, "fifo needs `message_group_field`"),
        ({"queue_configs": {"pay": {"concurrency": 0}}}, "queue_configs.pay.concurrency"),
        ({"queue_confgs": {}}, "queue_confgs"),
    ],
)
async def test_a_value_that_cannot_be_used_is_refused_and_changes_nothing(
    start_site: StartSite, value: Any, named: str
) -> None:
    site = await start_site(iii_queue=SEED)
    before = await site.get("iii-queue")
    with pytest.raises(CallFailed) as caught:
        await site.set("iii-queue", value)
    assert caught.value.code == "SCHEMA_INVALID"
    assert named in caught.value.message
    assert await site.get("iii-queue") == before
    await deliver(site, "orders")


async def test_a_stored_value_that_cannot_be_used_any_more_leaves_the_file_in_force(
    start_site: StartSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOTS", "3")
    site = await start_site(iii_queue=SEED)
    await site.set("iii-queue", {"queue_configs": {"express": {"concurrency": "${SLOTS}"}}})
    await site.bridge.stop()
    monkeypatch.setenv("SLOTS", "0")
    again = await start_site(iii_queue=SEED)
    assert set(again.bridge.bridge._live.served.queues) == {"default", "orders"}
    await deliver(again, "orders")


async def test_a_placeholder_is_expanded_when_read_and_kept_as_text(
    start_site: StartSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROUP", raising=False)
    site = await start_site(iii_queue=SEED)
    value = {
        "queue_configs": {
            "lines": {
                "type": "fifo",
                "message_group_field": "${GROUP:session_id}",
                "concurrency": "${SLOTS:4}",
            }
        }
    }
    await site.set("iii-queue", value)
    await eventually(lambda: "lines" in site.bridge.bridge._live.served.queues)
    lines = site.bridge.bridge._live.served.queues["lines"]
    assert (lines.message_group_field, lines.concurrency) == ("session_id", 4)
    assert await site.get("iii-queue", raw=True) == value
