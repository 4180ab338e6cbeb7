"""Subscriptions follow the triggers, however long Temporal is away."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from bridge.builtins.queue.subscription_keeper import KeeperSettings, SubscriptionKeeper
from bridge.errors import EngineError, TriggerRejectedError
from tests.support.waiting import PATIENCE_S, eventually
from workflows.contract import Departure, RetryRules, Subscriber, SubscribeRequest, Subscription

TOPIC = "orders"


def subscription(function_id: str = "notify") -> Subscription:
    return Subscription(f"{TOPIC}::{function_id}", function_id, RetryRules())


QUEUE = subscription().queue


class Topics:
    """Notes what it is told; can be away, or refuse."""

    identity = "this bridge"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.requests: list[SubscribeRequest] = []
        self.is_away = False
        self.refuses = False
        self.silent_topic: str | None = None
        self.reached = asyncio.Event()
        self.reached.set()

    async def wait(self) -> None:
        await self.reached.wait()

    async def subscribe(self, topic: str, request: SubscribeRequest) -> None:
        self._answer(f"subscribe {topic}")
        if self.refuses:
            raise TriggerRejectedError("full")
        self.requests.append(request)

    async def unsubscribe(self, topic: str, departure: Departure) -> None:
        assert departure == Departure(QUEUE, self.identity)
        self._answer(f"unsubscribe {topic}")

    async def release(self, topic: str, departure: Departure) -> None:
        assert departure == Departure(QUEUE, self.identity)
        self._answer(f"release {topic}")

    async def subscribers(self, topic: str) -> Sequence[Subscriber]:
        return (await self.list()).get(topic, [])

    async def list(self) -> Mapping[str, Sequence[Subscriber]]:
        if self.is_away:
            raise EngineError("away")
        return {TOPIC: [Subscriber(request.subscription) for request in self.requests]}

    def _answer(self, what: str) -> None:
        self.told.append(what)
        if self.is_away or what == f"subscribe {self.silent_topic}":
            raise EngineError("away")


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def settings() -> KeeperSettings:
    return KeeperSettings(retry_pause_ms=1)


@pytest.fixture
async def keeper(topics: Topics, settings: KeeperSettings) -> AsyncIterator[SubscriptionKeeper]:
    keeper = SubscriptionKeeper(topics, settings)
    running = asyncio.create_task(keeper.run())
    yield keeper
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_subscription_begins_and_ends_with_its_trigger(
    keeper: SubscriptionKeeper, topics: Topics, settings: KeeperSettings
) -> None:
    keeper.want(TOPIC, subscription(), triggers=2)
    await keeper.settled(TOPIC)
    assert topics.requests == [
        SubscribeRequest(subscription(), "this bridge", 2, settings.lease_ms, settings.keep_ms)
    ]
    keeper.end(QUEUE)
    await keeper.settled(TOPIC)
    assert topics.told == ["subscribe orders", "unsubscribe orders"]


async def test_what_changes_before_it_was_carried_out_is_carried_out_once(
    keeper: SubscriptionKeeper, topics: Topics
) -> None:
    keeper.want(TOPIC, subscription(), triggers=1)
    keeper.end(QUEUE)
    keeper.want(TOPIC, subscription(), triggers=1)
    await keeper.settled(TOPIC)
    assert topics.told == ["subscribe orders"]


async def test_while_temporal_is_away_it_is_tried_again(keeper: SubscriptionKeeper, topics: Topics) -> None:
    topics.is_away = True
    keeper.want(TOPIC, subscription(), triggers=1)
    await eventually(lambda: len(topics.told) >= 3)
    topics.is_away = False
    await keeper.settled(TOPIC)
    assert len(topics.requests) == 1


async def test_a_topic_in_trouble_holds_up_no_other(keeper: SubscriptionKeeper, topics: Topics) -> None:
    topics.is_away = True
    keeper.want(TOPIC, subscription(), triggers=1)
    async with asyncio.timeout(PATIENCE_S):
        await keeper.settled("another topic")


async def test_a_subscription_survives_the_worker_that_left_before_temporal_heard_of_it(
    topics: Topics, settings: KeeperSettings
) -> None:
    topics.reached.clear()
    keeper = SubscriptionKeeper(topics, settings)
    running = asyncio.create_task(keeper.run())
    keeper.want(TOPIC, subscription(), triggers=1)
    keeper.let_go(QUEUE)
    topics.reached.set()
    await keeper.settled(TOPIC)
    assert topics.told == ["subscribe orders", "release orders"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_one_that_is_known_is_only_released(keeper: SubscriptionKeeper, topics: Topics) -> None:
    for triggers in (1, 2):
        keeper.want(TOPIC, subscription(), triggers=triggers)
        await keeper.settled(TOPIC)
    keeper.want(TOPIC, subscription(), triggers=1)
    keeper.let_go(QUEUE)
    await keeper.settled(TOPIC)
    assert topics.told == ["subscribe orders", "subscribe orders", "release orders"]


async def test_a_refused_subscription_is_not_tried_again(keeper: SubscriptionKeeper, topics: Topics) -> None:
    topics.refuses = True
    keeper.want(TOPIC, subscription(), triggers=1)
    await keeper.settled(TOPIC)
    assert topics.told == ["subscribe orders"]


async def test_what_is_held_is_renewed_without_changing_the_settings(topics: Topics) -> None:
    keeper = SubscriptionKeeper(topics, KeeperSettings(renewal_ms=1))
    running = asyncio.create_task(keeper.run())
    keeper.want(TOPIC, subscription(), triggers=1)
    await eventually(lambda: len(topics.requests) >= 3)
    assert [request.renews for request in topics.requests][:3] == [False, True, True]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_topic_that_does_not_answer_keeps_no_other_from_being_renewed(topics: Topics) -> None:
    keeper = SubscriptionKeeper(topics, KeeperSettings(renewal_ms=1, retry_pause_ms=1))
    topics.silent_topic = "stuck"
    running = asyncio.create_task(keeper.run())
    keeper.want("stuck", subscription("other"), triggers=1)
    keeper.want(TOPIC, subscription(), triggers=1)
    await eventually(lambda: len([request for request in topics.requests if request.renews]) >= 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_temporal_has_forgotten_is_told_again(topics: Topics) -> None:
    keeper = SubscriptionKeeper(topics, KeeperSettings(sweep_interval_ms=1))
    running = asyncio.create_task(keeper.run())
    keeper.want(TOPIC, subscription(), triggers=1)
    await keeper.settled(TOPIC)
    topics.requests.clear()
    await eventually(lambda: topics.requests)
    assert topics.told == ["subscribe orders"] * 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_bridge_that_leaves_releases_what_it_holds_and_begins_nothing(
    topics: Topics, settings: KeeperSettings
) -> None:
    keeper = SubscriptionKeeper(topics, settings)
    running = asyncio.create_task(keeper.run())
    keeper.want(TOPIC, subscription(), triggers=1)
    await keeper.settled(TOPIC)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    keeper.want(TOPIC, subscription(), triggers=2)
    await keeper.close()
    assert topics.told == ["subscribe orders", "release orders"]


async def test_a_bridge_that_never_reached_temporal_leaves_without_a_word(
    topics: Topics, settings: KeeperSettings
) -> None:
    keeper = SubscriptionKeeper(topics, settings)
    keeper.want(TOPIC, subscription(), triggers=1)
    await keeper.close()
    assert topics.told == []
