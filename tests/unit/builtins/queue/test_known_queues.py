"""What a name stands for (spec 02 §6.2)."""

from collections.abc import Mapping, Sequence

from bridge.builtins.queue.known_queues import KnownQueue, KnownQueues
from workflows.contract import RetryRules, Subscriber, Subscription

JOBS = KnownQueue("jobs", ("jobs",), consumers=4)
ORDERS = KnownQueue("orders", ("orders::one", "orders::two"), consumers=2, is_topic=True)


class Topics:
    """Two topics, one of which has the name of a queue."""

    def __init__(self) -> None:
        two = [Subscriber(_subscription("orders::one"), 2), Subscriber(_subscription("orders::two"))]
        self._topics = {"orders": two, "jobs": [Subscriber(_subscription("jobs::one"), 1)]}

    async def subscribers(self, topic: str) -> Sequence[Subscriber]:
        return self._topics.get(topic, [])

    async def list(self) -> Mapping[str, Sequence[Subscriber]]:
        return self._topics


def _subscription(queue: str) -> Subscription:
    return Subscription(queue, "f", RetryRules())


KNOWN = KnownQueues({"jobs": 4}, Topics())


async def test_the_name_of_a_queue_is_the_queue_also_where_a_topic_has_it() -> None:
    assert await KNOWN.find("jobs") == JOBS


async def test_the_name_of_a_topic_is_all_its_subscribers_also_those_that_are_away() -> None:
    assert await KNOWN.find("orders") == ORDERS
    assert await KNOWN.resolve("orders") == ("orders::one", "orders::two")


async def test_a_name_that_nobody_knows_stands_for_itself() -> None:
    assert await KNOWN.resolve("orders::one") == ("orders::one",)
    assert await KNOWN.find("") == KnownQueue("", ("",), consumers=0, is_topic=True)


async def test_everything_is_listed_once() -> None:
    assert await KNOWN.all() == [ORDERS, JOBS]
    assert await KNOWN.internal_queues() == ["orders::one", "orders::two", "jobs"]
