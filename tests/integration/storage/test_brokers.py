import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from bridge.errors import StorageError
from bridge.storage import Broker, LocalBroker, RedisBroker, Subscriber
from tests.integration.storage.redis_server import RedisServer
from tests.support.waiting import PATIENCE_S, eventually


class Inbox:
    """A subscriber that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.has_resumed = asyncio.Event()
        self._arrived = asyncio.Event()

    @property
    def subscriber(self) -> Subscriber:
        return Subscriber(self._receive, self.has_resumed.set)

    async def until(self, last: bytes) -> list[bytes]:
        """Return everything up to a message, as soon as that has come."""
        async with asyncio.timeout(PATIENCE_S):
            while last not in self.messages:
                self._arrived.clear()
                await self._arrived.wait()
        return self.messages

    def _receive(self, message: bytes) -> None:
        self.messages.append(message)
        self._arrived.set()


class BrokerContract:
    async def test_a_subscriber_gets_the_messages_of_its_topic_in_order(self, broker: Broker) -> None:
        inbox = Inbox()
        broker.subscribe("orders", inbox.subscriber)
        for number in range(100):
            await broker.publish("other", b'"not mine"')
            await broker.publish("orders", b"%d" % number)
        assert await inbox.until(b"99") == [b"%d" % number for number in range(100)]

    async def test_a_subscription_hears_what_is_published_right_after_it(self, broker: Broker) -> None:
        for number in range(50):
            inbox = Inbox()
            broker.subscribe(f"topic-{number}", inbox.subscriber)
            await broker.publish(f"topic-{number}", b"1")
            assert await inbox.until(b"1") == [b"1"]

    async def test_unsubscribing_ends_it_and_leaves_other_topics(self, broker: Broker) -> None:
        left, stayed = Inbox(), Inbox()
        broker.subscribe("left", left.subscriber)
        broker.subscribe("stayed", stayed.subscriber)
        broker.unsubscribe("left")
        broker.unsubscribe("never")
        await broker.publish("left", b"1")
        await broker.publish("stayed", b"2")
        assert await stayed.until(b"2") == [b"2"]
        assert left.messages == []

    async def test_who_subscribes_again_hears_again(self, broker: Broker) -> None:
        inbox = Inbox()
        for number in (b"1", b"2", b"3"):
            broker.subscribe("orders", inbox.subscriber)
            await broker.publish("orders", number)
            await inbox.until(number)
            broker.unsubscribe("orders")
            broker.subscribe("orders", inbox.subscriber)
        assert inbox.messages == [b"1", b"2", b"3"]

    @pytest.mark.parametrize("topic", ["", "a b", "ünïcödé 𝄞", "a\0b", "*", "orders.*"])
    async def test_any_text_is_a_topic_of_its_own(self, broker: Broker, topic: str) -> None:
        inbox = Inbox()
        broker.subscribe(topic, inbox.subscriber)
        await broker.publish("orders.shipped", b"0")
        await broker.publish(topic, b'{"a": 1}')
        assert await inbox.until(b'{"a": 1}') == [b'{"a": 1}']

    async def test_publishing_to_nobody_is_fine(self, broker: Broker) -> None:
        await broker.publish("nobody", b"1")

    async def test_a_closed_broker_refuses_to_publish(self, broker: Broker) -> None:
        await broker.close()
        await broker.close()
        with pytest.raises(StorageError, match="closed"):
            await broker.publish("orders", b"1")


class TestLocalBroker(BrokerContract):
    @pytest.fixture
    def broker(self) -> Broker:
        return LocalBroker()


class TestRedisBroker(BrokerContract):
    @pytest.fixture
    async def broker(self, shared_server: RedisServer) -> AsyncIterator[Broker]:
        broker = await RedisBroker.open(shared_server.url)
        yield broker
        await broker.close()


class TestRedisBrokerInANamespace(BrokerContract):
    @pytest.fixture
    async def broker(self, shared_server: RedisServer, prefix: str) -> AsyncIterator[Broker]:
        broker = await RedisBroker.open(shared_server.url, namespace=prefix)
        yield broker
        await broker.close()


@pytest.fixture
async def opened() -> AsyncIterator[list[RedisBroker]]:
    """Brokers put here are closed at the end."""
    brokers: list[RedisBroker] = []
    yield brokers
    for broker in brokers:
        await broker.close()


async def test_all_bridges_hear_a_message_in_one_order(
    shared_server: RedisServer, opened: list[RedisBroker]
) -> None:
    opened += [await RedisBroker.open(shared_server.url) for _ in range(3)]
    inboxes = [Inbox() for _ in opened]
    for broker, inbox in zip(opened, inboxes, strict=True):
        broker.subscribe("orders", inbox.subscriber)
        await broker.settle()

    async def publish(broker: RedisBroker, name: str) -> None:
        for number in range(50):
            await broker.publish("orders", f'"{name}-{number}"'.encode())

    await asyncio.gather(*(publish(broker, name) for broker, name in zip(opened, "abc", strict=True)))
    await opened[0].publish("orders", b'"end"')
    first, *others = [await inbox.until(b'"end"') for inbox in inboxes]
    assert len(first) == 151
    assert all(other == first for other in others)
    for name in "abc":
        own = [message for message in first if message.startswith(f'"{name}-'.encode())]
        assert own == [f'"{name}-{number}"'.encode() for number in range(50)]


async def test_topics_of_other_namespaces_and_databases_are_other_topics(
    shared_server: RedisServer, prefix: str, opened: list[RedisBroker]
) -> None:
    mine = await RedisBroker.open(shared_server.url, namespace=prefix)
    strangers = [
        await RedisBroker.open(shared_server.url, namespace=f"{prefix}x"),
        await RedisBroker.open(f"{shared_server.url}/1", namespace=prefix),
        await RedisBroker.open(shared_server.url),
    ]
    opened += [mine, *strangers]
    inbox = Inbox()
    mine.subscribe("events", inbox.subscriber)
    await mine.settle()
    for stranger in strangers:
        await stranger.publish("events", b"1")
    await mine.publish("events", b"2")
    assert await inbox.until(b"2") == [b"2"]


@pytest.mark.parametrize("garbage", [b"no json", b'"\xff"', b"", b"[1,]"])
async def test_what_is_not_json_is_skipped(
    shared_server: RedisServer, opened: list[RedisBroker], garbage: bytes
) -> None:
    broker = await RedisBroker.open(shared_server.url)
    opened.append(broker)
    inbox = Inbox()
    broker.subscribe("orders", inbox.subscriber)
    await broker.publish("orders", garbage)
    await broker.publish("orders", b"1")
    assert await inbox.until(b"1") == [b"1"]


async def test_after_a_lost_connection_subscribers_are_told_and_hear_again(
    server: RedisServer, opened: list[RedisBroker]
) -> None:
    broker = await RedisBroker.open(server.url)
    opened.append(broker)
    inbox = Inbox()
    broker.subscribe("orders", inbox.subscriber)
    await broker.publish("orders", b"1")
    await inbox.until(b"1")
    assert not inbox.has_resumed.is_set()
    await server.kill()
    await eventually(lambda: not broker._is_settled.is_set())
    await server.start()
    await inbox.has_resumed.wait()
    await broker.publish("orders", b"2")
    assert await inbox.until(b"2") == [b"1", b"2"]


async def test_a_message_published_during_a_short_outage_arrives_after_it(
    server: RedisServer, opened: list[RedisBroker]
) -> None:
    broker = await RedisBroker.open(server.url)
    opened.append(broker)
    inbox = Inbox()
    broker.subscribe("orders", inbox.subscriber)
    await broker.settle()
    await server.kill()
    await eventually(lambda: not broker._is_settled.is_set())
    publishing = asyncio.create_task(broker.publish("orders", b"1"))
    await server.start()
    await publishing
    assert await inbox.until(b"1") == [b"1"]


async def test_while_the_server_is_away_publishing_fails(
    server: RedisServer, opened: list[RedisBroker]
) -> None:
    broker = await RedisBroker.open(server.url, settle_timeout_s=0.1)
    opened.append(broker)
    await broker.settle()
    await server.kill()
    with suppress(StorageError):  # the first call may still find the connection alive
        await broker.publish("orders", b"1")
    with pytest.raises(StorageError, match="Redis"):
        await broker.publish("orders", b"1")


async def test_a_subscriber_with_a_bug_does_not_end_the_subscriptions(
    shared_server: RedisServer, opened: list[RedisBroker]
) -> None:
    broker = await RedisBroker.open(shared_server.url)
    opened.append(broker)
    inbox = Inbox()

    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    broker.subscribe("broken", Subscriber(fail))
    broker.subscribe("orders", inbox.subscriber)
    await broker.publish("broken", b"1")
    await inbox.has_resumed.wait()
    await broker.publish("orders", b"2")
    assert await inbox.until(b"2") == [b"2"]
