"""Durable topics with the real SDKs: they subscribe, publish, and share a topic."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.topics.subscriber import becomes_known
from tests.support.fake_sdk import FakeSdk
from tests.support.node_script import running_node_script
from tests.support.python_worker import python_worker
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    # The SDK points to triggers by observation, which this test is not about.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:iii", "ignore:register_trigger"),
]

SCRIPT = Path(__file__).with_name("node_topics.mjs")
CONFIG = {"topic": "order.created", "queue_config": {"maxRetries": 1, "backoffDelayMs": 10}}


async def test_the_sdks_share_a_topic(bridge: RunningBridge, tmp_path: Path) -> None:
    heard: list[tuple[Any, int]] = []

    async def hear(message: Any, metadata: Any = None) -> None:
        attempt = metadata["iii-temporal"]["attempt"]
        heard.append((message["n"], attempt))
        if attempt == 1:
            raise RuntimeError("not the first time")

    operator = await bridge.connect()
    async with (
        running_node_script(SCRIPT, tmp_path, bridge.addresses.workers[0]),
        python_worker(bridge.addresses.workers[0]) as worker,
    ):
        worker.register_function("python::hear", hear)
        worker.register_trigger(
            {"type": "durable:subscriber", "function_id": "python::hear", "config": CONFIG}
        )
        await becomes_known(bridge, {"node::hear": 1, "python::hear": 1})
        for n in range(3):
            message = {"n": n, "important": n < 2}
            if n == 1:
                assert await operator.trigger("node::publish", message) == {"result": None}
            else:
                answer = await worker.trigger_async(
                    {
                        "function_id": "iii::durable::publish",
                        "payload": {"topic": "order.created", "data": message},
                    }
                )
                assert answer is None
        await eventually(lambda: len(heard) == 6)
        assert sorted(heard) == [(n, attempt) for n in range(3) for attempt in (1, 2)]
        notes = await heard_by_node(operator, 3)
        assert [note["n"] for note in notes] == [0, 0, 1]


async def heard_by_node(operator: FakeSdk, count: int) -> list[Any]:
    async def enough() -> list[Any] | None:
        notes: list[Any] = await operator.trigger("node::heard", {})
        return notes if len(notes) >= count else None

    return await eventually(enough)


async def test_an_sdk_that_comes_back_gets_what_was_published_meanwhile(bridge: RunningBridge) -> None:
    heard: list[int] = []

    async def hear(message: Any) -> None:
        heard.append(message["n"])

    async def publish(n: int) -> None:
        message = {"topic": "order.created", "data": {"n": n}}
        await operator.trigger("iii::durable::publish", message)

    operator = await bridge.connect()
    for n in range(2):
        async with python_worker(bridge.addresses.workers[0]) as worker:
            worker.register_function("hear", hear)
            worker.register_trigger({"type": "durable:subscriber", "function_id": "hear", "config": CONFIG})
            await becomes_known(bridge, {"hear": 1})
            await eventually(lambda: heard == list(range(n * 2)))  # noqa: B023 - awaited here
            await publish(n * 2)
            await eventually(lambda: len(heard) == n * 2 + 1)  # noqa: B023 - awaited here
        await becomes_known(bridge, {"hear": 0})
        await publish(n * 2 + 1)
    assert heard == [0, 1, 2]
