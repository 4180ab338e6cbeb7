"""Subscribers that come, go, and are away while messages are published (spec 02 §5.4 and our deviations)."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from bridge.builtins.queue import KeeperSettings
from tests.integration.topics.subscriber import (
    TOPIC,
    Subscriber,
    becomes_known,
    queue_of,
    triggers_in_temporal,
)
from tests.support.bridge_process import bridge_process
from tests.support.fake_sdk import CallFailed, connected
from tests.support.handlers import Gate, Recording, numbered
from tests.support.running_bridge import (
    RunningBridge,
    StartBridge,
    bridge_config,
    ended,
    new_prefix,
    running_bridge,
    write_config,
)
from tests.support.temporal_server import free_port, temporal_server
from tests.support.waiting import eventually
from workflows.contract import Tenancy
from workflows.names import topic_id

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("kind", ["standard", "fifo"])
async def test_messages_published_while_a_subscriber_is_away_wait_for_it(
    bridge: RunningBridge, subscriber: Subscriber, kind: str
) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    await subscriber.subscribe("heard", queue_config={"type": kind})
    await becomes_known(bridge, {"heard": 1})
    subscriber.sdk.drop()
    await becomes_known(bridge, {"heard": 0})

    publisher = Subscriber(await bridge.connect())
    for message in numbered(3):
        await publisher.publish(message)
    returned = Subscriber(await bridge.connect())
    await returned.sdk.offer(heard=heard)
    await returned.subscribe("heard", queue_config={"type": kind})
    await eventually(lambda: len(heard.payloads) == 3)
    assert sorted(heard.of("n")) == [0, 1, 2]
    assert {call.durable["attempt"] for call in returned.sdk.delivered} == {1}
    if kind == "fifo":
        assert heard.of("n") == [0, 1, 2]


async def test_what_was_published_before_an_unregister_is_delivered_after_it(subscriber: Subscriber) -> None:
    gate = Gate()
    await subscriber.sdk.offer(waits=gate)
    trigger_id = await subscriber.subscribe("waits", queue_config={"concurrency": 1})
    for message in numbered(3):
        await subscriber.publish(message)
    await eventually(lambda: gate.begun)
    await subscriber.unsubscribe(trigger_id)
    await subscriber.publish({"n": 3})
    gate.open()
    await eventually(lambda: len(gate.begun) == 3)
    assert sorted(call.data["n"] for call in gate.begun) == [0, 1, 2]


async def test_the_subscription_lasts_until_the_last_trigger_is_unregistered(
    bridge: RunningBridge, subscriber: Subscriber
) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    first, second = [await subscriber.subscribe("heard") for _ in range(2)]
    await becomes_known(bridge, {"heard": 2})
    await subscriber.unsubscribe(first)
    await becomes_known(bridge, {"heard": 1})
    await subscriber.publish({"n": 1})
    await eventually(lambda: heard.payloads)
    await subscriber.unsubscribe(second)
    await becomes_known(bridge, {})
    topic = bridge.client.get_workflow_handle(topic_id(bridge.tenancy, TOPIC))
    assert (await ended(topic)).status is WorkflowExecutionStatus.COMPLETED


async def test_a_message_nobody_is_subscribed_to_is_dropped_with_one_warning(
    subscriber: Subscriber, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Recording()
    await subscriber.sdk.offer(heard=heard)
    for message in numbered(3):
        assert await subscriber.publish(message) is None
    assert capsys.readouterr().out.count("nobody is subscribed to its topic") == 1
    await subscriber.subscribe("heard")
    await subscriber.publish({"n": 3})
    await eventually(lambda: heard.payloads)
    assert heard.of("n") == [3]


async def test_a_trigger_without_a_topic_is_registered_and_hears_nothing(
    subscriber: Subscriber, capsys: pytest.CaptureFixture[str]
) -> None:
    trigger_id = await subscriber.subscribe("heard", topic="")
    assert "subscription without a topic never fires" in capsys.readouterr().out
    listed = await subscriber.sdk.trigger("engine::registered-triggers::list", {})
    assert trigger_id in str(listed)


async def test_a_subscriber_that_does_not_return_is_given_up(
    temporal: Client, temporal_address: str, prefix: str, tmp_path: Path
) -> None:
    config = bridge_config(temporal_address, prefix, {})
    queue = next(block for block in config["workers"] if block["name"] == "iii-queue")
    queue["config"]["absent_subscriber_timeout_ms"] = 300
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        away = Subscriber(await bridge.connect())
        await away.subscribe("heard")
        await becomes_known(bridge, {"heard": 1})
        away.sdk.drop()
        topic = bridge.client.get_workflow_handle(topic_id(Tenancy(prefix), TOPIC))
        assert (await ended(topic)).status is WorkflowExecutionStatus.COMPLETED
        assert await triggers_in_temporal(bridge) == {}


async def test_a_topic_with_too_many_subscribers_serves_those_it_has(
    bridge: RunningBridge,
    subscriber: Subscriber,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("workflows.topic.MOST_SUBSCRIPTIONS", 1)
    heard, late = Recording(), Recording()
    await subscriber.sdk.offer(heard=heard, late=late)
    await subscriber.subscribe("heard")
    await becomes_known(bridge, {"heard": 1})
    await subscriber.subscribe("late")
    await subscriber.publish({"n": 1})
    await eventually(lambda: heard.payloads)
    assert "subscription refused: its function gets no messages" in capsys.readouterr().out
    assert (await triggers_in_temporal(bridge), late.payloads) == ({"heard": 1}, [])


async def test_a_topic_that_somebody_terminates_begins_again(
    start_bridge: StartBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KeeperSettings(sweep_interval_ms=100)
    monkeypatch.setattr("bridge.parts.queues.topic_settings", lambda _: settings)
    bridge = await start_bridge()
    heard = Recording()
    worker = Subscriber(await bridge.connect())
    await worker.sdk.offer(heard=heard)
    await worker.subscribe("heard")
    await becomes_known(bridge, {"heard": 1})
    topic = bridge.client.get_workflow_handle(topic_id(bridge.tenancy, TOPIC))
    await topic.terminate()

    async def runs() -> bool:
        return (await topic.describe()).status is WorkflowExecutionStatus.RUNNING

    await eventually(runs)
    await becomes_known(bridge, {"heard": 1})
    await worker.publish({"n": 1})
    await eventually(lambda: heard.payloads)


async def test_bridges_share_topics(start_bridge: StartBridge) -> None:
    here, there = await start_bridge(), await start_bridge()
    heard, own = Recording(), Recording()
    listener = Subscriber(await there.connect())
    await listener.sdk.offer(heard=heard)
    trigger_id = await listener.subscribe("heard")
    await becomes_known(there, {"heard": 1})

    publisher = Subscriber(await here.connect())
    await publisher.publish({"n": 1})
    await eventually(lambda: heard.payloads == [{"n": 1}])

    await publisher.sdk.offer(own=own)
    await publisher.subscribe("own")
    await publisher.publish({"n": 2})
    await eventually(lambda: len(heard.payloads) == 2 and own.payloads == [{"n": 2}])

    await listener.unsubscribe(trigger_id)
    await becomes_known(here, {"own": 1})
    await publisher.publish({"n": 3})
    await eventually(lambda: len(own.payloads) == 2)
    assert heard.of("n") == [1, 2]


async def test_one_function_on_two_bridges_is_one_subscriber(start_bridge: StartBridge) -> None:
    bridges = [await start_bridge(), await start_bridge()]
    heard = Recording()
    replicas = [Subscriber(await bridge.connect()) for bridge in bridges]
    for replica in replicas:
        await replica.sdk.offer(heard=heard)
        await replica.subscribe("heard")
    await becomes_known(bridges[0], {"heard": 2})
    for message in numbered(4):
        await replicas[0].publish(message)
    await eventually(lambda: len(heard.payloads) == 4)
    assert sorted(heard.of("n")) == [0, 1, 2, 3]

    replicas[0].sdk.drop()
    await becomes_known(bridges[0], {"heard": 1})
    await replicas[1].publish({"n": 4})
    await eventually(lambda: len(heard.payloads) == 5)


async def test_a_bridge_that_stops_leaves_its_subscriptions_to_the_next(start_bridge: StartBridge) -> None:
    first = await start_bridge()
    await Subscriber(await first.connect()).subscribe("heard")
    await becomes_known(first, {"heard": 1})
    await first.stop()

    second = await start_bridge()
    await becomes_known(second, {"heard": 0})
    heard = Recording()
    worker = Subscriber(await second.connect())
    await worker.publish({"n": 1})
    await worker.sdk.offer(heard=heard)
    await worker.subscribe("heard")
    await eventually(lambda: heard.payloads == [{"n": 1}])


async def test_a_killed_bridge_loses_no_message_of_an_absent_subscriber(
    bridge: RunningBridge, temporal_address: str, prefix: str, tmp_path: Path
) -> None:
    path = write_config(tmp_path, bridge_config(temporal_address, prefix, {}))
    async with bridge_process(path) as killed, connected(killed.worker_url) as sdk:
        await Subscriber(sdk).subscribe("heard")
        await becomes_known(bridge, {"heard": 1})
        await killed.kill()

    heard = Recording()
    worker = Subscriber(await bridge.connect())
    await worker.publish({"n": 1})
    await worker.sdk.offer(heard=heard)
    await worker.subscribe("heard")
    await eventually(lambda: heard.payloads == [{"n": 1}])


async def test_while_temporal_is_away_subscribing_works_and_publishing_says_so(tmp_path: Path) -> None:
    port, prefix = free_port(), new_prefix()
    settings = {"enqueue_timeout_ms": 1000, "drain_timeout_ms": 100}
    path = write_config(tmp_path, bridge_config(f"127.0.0.1:{port}", prefix, {}, **settings))
    async with (
        running_bridge(path, None, prefix, awaits_temporal=False) as bridge,
        AsyncExitStack() as exits,
    ):
        heard = Recording()
        worker = Subscriber(await bridge.connect())
        await worker.sdk.offer(heard=heard)
        await worker.subscribe("heard")
        with pytest.raises(CallFailed) as refused:
            await worker.publish({"n": 1}, topic="another")
        assert refused.value.code == "enqueue_error"

        await exits.enter_async_context(temporal_server(port))

        async def is_published() -> bool:
            try:
                await worker.publish({"n": 2})
            except CallFailed:
                return False
            return True

        await eventually(is_published)
        await eventually(lambda: heard.payloads == [{"n": 2}])
        assert await worker.sdk.trigger("engine::queue::dlq_messages", {"topic": queue_of("heard")}) == []
