"""What a collector gets of an order: one tree of spans, from the request to the last step."""

from typing import Any

import httpx
import pytest

from tests.integration.observability.collector import Collector
from tests.integration.observability.test_one_trace import TRACE, pipeline
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.integration

CALLER = "00f067aa0ba902b7"


@pytest.fixture
def blocks(collector: Collector) -> list[dict[str, Any]]:
    """Spans go to the collector and nowhere else."""
    observability = {"enabled": True, "exporter": "otlp", "endpoint": collector.url}
    return [{"name": "iii-observability", "config": observability}]


async def test_an_order_is_one_tree_of_spans_for_a_collector(
    bridge: RunningBridge, collector: Collector
) -> None:
    await pipeline(bridge)
    async with httpx.AsyncClient(base_url=str(bridge.addresses.http), timeout=PATIENCE_S) as client:
        traceparent = f"00-{TRACE}-{CALLER}-01"
        assert (await client.post("/orders", headers={"traceparent": traceparent})).status_code == 200
    # The payment fails once, so it has two attempts; each attempt is a delivery and a call.
    await eventually(lambda: collector.names().count("deliver orders::charge") == 2)

    spans = [each for each in collector.spans if each["traceId"] == TRACE]
    below: dict[str, list[dict[str, Any]]] = {}
    for each in spans:
        below.setdefault(each["parentSpanId"], []).append(each)

    def tree(span_id: str) -> list[Any]:
        children = sorted(below.get(span_id, ()), key=lambda each: int(each["startTimeUnixNano"]))
        return [(each["name"], tree(each["spanId"])) for each in children]

    # A handler is given the trace context of its caller (spec 01 §4.8): what it enqueues is beside its call.
    attempt = ("deliver orders::charge", [("call orders::charge", [])])
    charge = ("enqueue orders::charge", [attempt, attempt])
    validate = ("deliver orders::validate", [("call orders::validate", []), charge])
    handled = [("call orders::create", []), ("enqueue orders::validate", [validate])]
    assert tree(CALLER) == [("POST /orders", handled)]
    assert len(spans) == 10
