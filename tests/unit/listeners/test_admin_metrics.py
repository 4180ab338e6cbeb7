"""What /metrics tells, from engine events and a hand-moved clock."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.engine.calls import Call
from bridge.engine.observation import POSTPONED, DeadLetterLimit, DeliveryStart, EnqueueStart, QueueState
from bridge.errors import EngineError
from bridge.listeners.metrics import BridgeMetrics
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody
from tests.unit.engine.peers import Bridge

NOW_MS = 1_780_000_000_000
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class Setup:
    def __init__(self) -> None:
        self.bridge = Bridge()
        self.now_s = 0.0
        self.temporal_is_up = True
        self.state = QueueState("pay", depth=3, oldest_s=1.5, waiting=2, dead_letters=4)
        self.metrics = BridgeMetrics(
            self.bridge.engine,
            version="1.2.3",
            queues={"pay": DeadLetterLimit(capacity=10, threshold=5), "mail": None},
            read_queues=self.read_queues,
            clock_s=lambda: self.now_s,
            now_ms=lambda: NOW_MS,
        )

    async def read_queues(self) -> Sequence[QueueState]:
        if not self.temporal_is_up:
            raise EngineError("away")
        return [self.state]

    async def samples(self) -> dict[tuple[str, ...], float]:
        """Return each sample by its name and the values of its labels."""
        text = (await self.metrics.render()).decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def setup() -> Setup:
    return Setup()


def a_delivery(attempt: int = 1) -> DeliveryStart:
    return DeliveryStart(
        function_id="f",
        queue="pay",
        chain_id="c",
        receipt="r",
        workflow_id="w",
        attempt=attempt,
        max_attempts=3,
        enqueued_at_ms=NOW_MS - 300,
        parent=None,
        traceparent=TRACE,
    )


async def test_calls_are_counted_by_function_and_result_and_timed(setup: Setup):
    worker = setup.bridge.connect_greeted()
    worker.say("registerfunction", id="f")
    setup.bridge.engine.start(Call("f", payload.encode({})), print)
    assert (await setup.samples())["iii_calls_in_flight",] == 1

    setup.now_s = 0.2
    asked = worker.take_one("invokefunction")
    worker.say("invocationresult", invocation_id=asked["invocation_id"], function_id="f")
    samples = await setup.samples()

    assert samples["iii_calls_in_flight",] == 0
    assert samples["iii_calls_total", "f", "success"] == 1
    assert samples["iii_call_duration_seconds_bucket", "f", "0.1"] == 0
    assert samples["iii_call_duration_seconds_bucket", "f", "0.25"] == 1


async def test_functions_nobody_offers_share_one_series(setup: Setup):
    for each in range(5):
        await setup.bridge.engine.invoke(Call(f"made-up-{each}", payload.encode({})))

    assert (await setup.samples())["iii_calls_total", "(unknown)", "error"] == 5


async def test_workers_are_counted_as_they_come_and_go(setup: Setup):
    worker = setup.bridge.connect()
    assert (await setup.samples())["iii_workers",] == 1
    worker.leave()
    samples = await setup.samples()

    assert samples["iii_workers",] == 0
    assert samples["iii_worker_events_total", "worker_connected"] == 1
    assert samples["iii_worker_events_total", "worker_disconnected"] == 1


async def test_attempts_are_counted_by_queue_and_how_they_ended(setup: Setup):
    ends = [setup.metrics.delivery_started(a_delivery(attempt)) for attempt in (1, 2, 3)]
    assert (await setup.samples())["iii_queue_in_flight", "pay"] == 3
    for end, error in zip(ends, (None, ErrorBody("x", "no"), ErrorBody(POSTPONED, "later")), strict=True):
        end(error)
    samples = await setup.samples()

    assert samples["iii_queue_in_flight", "pay"] == 0
    results = {
        key[2]: value for key, value in samples.items() if key[:2] == ("iii_queue_attempts_total", "pay")
    }
    assert results == {"success": 1, "error": 1, "postponed": 1}


async def test_only_the_first_attempt_counts_for_the_dispatch_latency(setup: Setup):
    for attempt in (1, 2):
        setup.metrics.delivery_started(a_delivery(attempt))
    samples = await setup.samples()

    assert samples["iii_queue_dispatch_latency_seconds_count", "pay"] == 1
    assert samples["iii_queue_dispatch_latency_seconds_sum", "pay"] == pytest.approx(0.3)


async def test_messages_are_counted_when_their_receipt_is_given_or_refused(setup: Setup):
    for queue, error in (("pay", None), ("pay", ErrorBody("enqueue_error", "no")), ("made-up", None)):
        setup.metrics.enqueue_started(EnqueueStart(Call("f", payload.encode({})), queue, None, TRACE))(error)
    samples = await setup.samples()

    assert samples["iii_queue_messages_total", "pay", "accepted"] == 1
    assert samples["iii_queue_messages_total", "pay", "refused"] == 1
    assert samples["iii_queue_messages_total", "(unknown)", "accepted"] == 1


async def test_every_counter_of_a_queue_is_there_before_anything_happens(setup: Setup):
    samples = await setup.samples()

    assert samples["iii_queue_attempts_total", "mail", "error"] == 0
    assert samples["iii_queue_dead_letter_capacity", "pay"] == 10
    assert ("iii_queue_dead_letter_capacity", "mail") not in samples


async def test_the_state_of_queues_is_what_temporal_says(setup: Setup):
    samples = await setup.samples()

    assert samples["iii_temporal_up",] == 1
    assert samples["iii_queue_depth", "pay"] == 3
    assert samples["iii_queue_oldest_seconds", "pay"] == 1.5
    assert samples["iii_queue_waiting_for_provider", "pay"] == 2
    assert samples["iii_queue_dead_letters", "pay"] == 4


async def test_what_temporal_does_not_say_is_not_shown(setup: Setup):
    await setup.samples()
    setup.temporal_is_up = False
    setup.now_s = 60
    samples = await setup.samples()

    assert samples["iii_temporal_up",] == 0
    assert not [key for key in samples if key[0] == "iii_queue_dead_letters"]


async def test_dead_letters_that_reach_the_threshold_show(setup: Setup):
    samples = await setup.samples()
    assert samples["iii_queue_dead_letter_threshold", "pay"] == 5
    assert samples["iii_queue_dead_letter_alert", "pay"] == 0

    setup.state = replace(setup.state, dead_letters=5)
    assert (await setup.samples())["iii_queue_dead_letter_alert", "pay"] == 1


async def test_connections_are_counted_when_asked(setup: Setup):
    connections = [1, 2, 3]
    setup.metrics.watch_connections("workers", lambda: len(connections))
    connections.append(4)

    assert (await setup.samples())["iii_connections", "workers"] == 4


async def test_function_ids_beyond_the_limit_share_one_series(setup: Setup, monkeypatch):
    monkeypatch.setattr("bridge.listeners.metrics._MOST_FUNCTIONS", 1)
    worker = setup.bridge.connect()
    for function_id in ("first", "second", "third"):
        worker.say("registerfunction", id=function_id)
        setup.bridge.engine.start(Call(function_id, payload.encode({})), print)
    worker.leave()
    samples = await setup.samples()

    assert samples["iii_calls_total", "first", "error"] == 1
    assert samples["iii_calls_total", "(other)", "error"] == 2
