"""`engine::traces::*`, the `trace` trigger and the bridge's own spans (spec 05 §6.4)."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.builtins.observability import Destination, ObservabilitySettings, SamplingRule, SamplingSettings
from bridge.engine.calls import Call
from bridge.engine.observation import DeliveryStart, EnqueueStart
from bridge.errors import FunctionFailedError, TriggerRejectedError
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody
from tests.unit.builtins.observability.harness import MS_NS, T0_MS, TRACE, Harness, attributes, span

SETTINGS = ObservabilitySettings(version="1.2.3", print_logs=False)
OTHER = "c" * 32
STORAGE = {
    "archive": "disabled",
    "completeness": "complete",
    "known_dropped_spans": 0,
    "physical_bytes": 0,
    "max_disk_bytes": 0,
    "last_error": None,
}


async def names(harness: Harness, **query: Any) -> list[str]:
    return [each["name"] for each in (await harness.call("engine::traces::list", query))["spans"]]


async def test_a_span_has_exactly_the_documented_shape(harness: Harness) -> None:
    harness.send_spans(
        span("s1", order=7, paid=True)
        | {
            "status": {"code": 2, "message": "declined"},
            "flags": 1,
            "traceState": "a=b",
            "events": [{"name": "retry", "timeUnixNano": "5", "attributes": attributes({"n": 2})}],
            "links": [{"traceId": OTHER, "spanId": "l1", "attributes": []}],
        }
    )

    assert await harness.call("engine::traces::list", {}) == {
        "spans": [
            {
                "trace_id": TRACE,
                "span_id": "s1",
                "parent_span_id": None,
                "name": "work",
                "start_time_unix_nano": T0_MS * MS_NS,
                "end_time_unix_nano": (T0_MS + 10) * MS_NS,
                "status": "error",
                "status_description": "declined",
                "attributes": [["order", "7"], ["paid", "true"]],
                "service_name": "billing",
                "events": [{"name": "retry", "timestamp_unix_nano": 5, "attributes": [["n", "2"]]}],
                "links": [{"trace_id": OTHER, "span_id": "l1", "trace_state": None, "attributes": []}],
                "instrumentation_scope_name": "sdk",
                "instrumentation_scope_version": "9",
                "flags": 1,
                "trace_state": "a=b",
            }
        ],
        "total": 1,
        "offset": 0,
        "limit": 100,
        "storage": STORAGE,
    }


@pytest.fixture
def shop(harness: Harness) -> Harness:
    """An order with a payment below it that failed, and a later, longer trace of another service."""
    harness.send_spans(
        span("o1", "order", start_ms=T0_MS, duration_ms=50, customer="7"),
        span("p1", "pay", parent="o1", start_ms=T0_MS + 5, duration_ms=20, status=2, card="visa"),
    )
    harness.send_spans(
        span("m1", "mail", trace_id=OTHER, start_ms=T0_MS + 100, duration_ms=200, status=0), service="mailer"
    )
    return harness


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["order", "mail"]),
        ({"sort_order": "desc"}, ["mail", "order"]),
        ({"sort_by": "duration", "sort_order": "desc"}, ["mail", "order"]),
        ({"sort_by": "name"}, ["mail", "order"]),
        ({"sort_by": "service_name"}, ["order", "mail"]),
        ({"trace_id": OTHER}, ["mail"]),
        ({"trace_ids": [TRACE]}, ["order"]),
        ({"service_name": "MAIL"}, ["mail"]),
        ({"name": "ORD"}, ["order"]),
        ({"name": "pay"}, []),
        ({"name": "pay", "search_all_spans": True}, ["order", "pay"]),
        ({"search_all_spans": True}, ["order", "pay", "mail"]),
        ({"status": "unset"}, ["mail"]),
        ({"status": "error", "search_all_spans": True}, ["pay"]),
        ({"min_duration_ms": 51}, ["mail"]),
        ({"max_duration_ms": 50}, ["order"]),
        ({"start_time": T0_MS + 51}, ["mail"]),
        ({"end_time": T0_MS + 99}, ["order"]),
        ({"attributes": [["customer", "7"]]}, ["order"]),
        ({"attributes": [["customer", "7"], ["card", "visa"]]}, []),
        ({"attributes": [["customer", "7"], ["card", "visa"]], "search_all_spans": True}, ["order", "pay"]),
        ({"exclude_attributes": [["customer", "7"], ["x", "y"]]}, ["mail"]),
        ({"limit": 1}, ["order"]),
        ({"offset": 1}, ["mail"]),
    ],
)
async def test_traces_are_filtered_and_sorted(
    shop: Harness, query: dict[str, Any], expected: list[str]
) -> None:
    assert await names(shop, **query) == expected


@pytest.mark.parametrize("about", [{"iii.function.kind": "internal"}, {"function_id": "engine::x"}])
async def test_internal_traces_are_hidden_unless_asked_for(harness: Harness, about: dict[str, str]) -> None:
    harness.send_spans(span("s1", **about))

    assert await names(harness) == []
    assert await names(harness, include_internal=True) == ["work"]


async def test_a_span_whose_parent_is_not_kept_is_a_root(harness: Harness) -> None:
    harness.send_spans(span("s1", parent="elsewhere"))

    assert await names(harness) == ["work"]


async def test_tags_of_any_span_are_shown_on_every_row_of_the_trace(harness: Harness) -> None:
    harness.send_spans(span("s1"), span("s2", parent="s1", **{"iii.tag.team": "shop"}))
    (row,) = (await harness.call("engine::traces::list", {}))["spans"]

    assert row["trace_tags"] == {"team": "shop"}


@pytest.mark.parametrize("query", [{"sort_by": "colour"}, {"limit": -1}, {"attributes": [["only key"]]}])
async def test_a_query_that_makes_no_sense_is_refused(harness: Harness, query: dict[str, Any]) -> None:
    with pytest.raises(FunctionFailedError) as failed:
        await names(harness, **query)
    assert failed.value.failure_code == "deserialization_error"


async def test_a_tree_nests_spans_in_the_order_they_began(shop: Harness) -> None:
    shop.send_spans(span("p2", "pack", parent="o1", start_ms=T0_MS + 2), span("c1", "call", parent="p1"))
    tree = await shop.call("engine::traces::tree", {"trace_id": TRACE})

    def shape(node: dict[str, Any]) -> Any:
        return {node["name"]: [shape(child) for child in node["children"]]}

    assert [shape(root) for root in tree["roots"]] == [{"order": [{"pack": []}, {"pay": [{"call": []}]}]}]
    assert tree["storage"] == STORAGE


async def test_an_unknown_trace_is_an_empty_tree(harness: Harness) -> None:
    assert (await harness.call("engine::traces::tree", {"trace_id": TRACE}))["roots"] == []


async def test_spans_that_are_their_own_ancestors_are_shown_once(harness: Harness) -> None:
    harness.send_spans(span("a", parent="b"), span("b", parent="a"), span("me", parent="me"))
    tree = await harness.call("engine::traces::tree", {"trace_id": TRACE})

    def ids(node: dict[str, Any]) -> list[str]:
        return [node["span_id"], *(each for child in node["children"] for each in ids(child))]

    assert sorted(each for root in tree["roots"] for each in ids(root)) == ["a", "b", "me"]


async def test_a_very_deep_trace_is_shown_in_pieces(harness: Harness) -> None:
    harness.send_spans(span("0"), *[span(str(each), parent=str(each - 1)) for each in range(1, 5000)])
    tree = await harness.call("engine::traces::tree", {"trace_id": TRACE})

    assert [root["span_id"] for root in tree["roots"]][:3] == ["0", "200", "400"]


async def test_traces_are_grouped_by_an_attribute_newest_first(shop: Harness) -> None:
    shop.send_spans(
        span("x1", "order", trace_id=OTHER, start_ms=T0_MS + 40, customer="8", who="Bo", status=2)
    )
    grouped = await shop.call("engine::traces::group_by", {"attribute": "customer", "label_attribute": "who"})

    assert grouped["groups"] == [
        {
            "value": value,
            "label": label,
            "trace_ids": [trace_id],
            "span_count": 1,
            "first_seen_ms": first_ms,
            "last_seen_ms": last_ms,
            "duration_ms": last_ms - first_ms,
            "error_count": errors,
        }
        for value, label, trace_id, first_ms, last_ms, errors in (
            ("7", None, TRACE, T0_MS, T0_MS + 50, 0),
            ("8", "Bo", OTHER, T0_MS + 40, T0_MS + 50, 1),
        )
    ]
    since = await shop.call("engine::traces::group_by", {"attribute": "customer", "since_ms": T0_MS + 1})
    assert [each["value"] for each in since["groups"]] == ["8"]
    limited = await shop.call("engine::traces::group_by", {"attribute": "customer", "limit": 1})
    assert len(limited["groups"]) == 1


async def test_cleared_traces_are_gone(shop: Harness) -> None:
    assert await shop.call("engine::traces::clear", {}) == {"success": True}
    assert await names(shop) == []


@pytest.mark.parametrize("traces", [Destination(), Destination(otlp=True)])
@pytest.mark.parametrize(
    ("function", "data"),
    [("list", {}), ("tree", {"trace_id": TRACE}), ("group_by", {"attribute": "x"}), ("clear", {})],
)
async def test_without_spans_in_memory_trace_functions_say_so(
    traces: Destination, function: str, data: dict[str, Any]
) -> None:
    harness = Harness(replace(SETTINGS, traces=traces))
    with pytest.raises(FunctionFailedError) as failed:
        await harness.call(f"engine::traces::{function}", data)
    assert failed.value.failure_code == "memory_exporter_not_enabled"
    await harness.aclose()


async def test_the_oldest_spans_make_room_and_the_answer_says_how_many() -> None:
    harness = Harness(replace(SETTINGS, max_spans=2))
    harness.send_spans(span("s1", "first"), span("s2", "second"), span("s3", "third"))

    assert await names(harness) == ["second", "third"]
    storage = (await harness.call("engine::traces::list", {}))["storage"]
    assert (storage["completeness"], storage["known_dropped_spans"]) == ("partial", 1)
    await harness.aclose()


async def test_a_frame_nobody_understands_is_dropped(harness: Harness) -> None:
    for frame in (
        b"OTLP",
        b"OTLP{",
        b"OTLP[]",
        b"OTLP\xff",
        b"LOGSnull",
        b"XXXX{}",
        b"OTLP" + b"[" * 100_000,
    ):
        harness.observability.take_frame(frame)
    harness.send_spans({"traceId": TRACE})

    assert await names(harness) == []


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (SamplingSettings(default=0.0), []),
        (SamplingSettings(default=0.5), ["low"]),
        (SamplingSettings(default=0.0, rules=(SamplingRule("high", None, 1.0),)), ["high"]),
        (SamplingSettings(default=1.0, rules=(SamplingRule(None, "billing", 0.0),)), []),
        (SamplingSettings(default=1.0, rules=(SamplingRule("low", "mailer", 0.0),)), ["high", "low"]),
        (SamplingSettings(traces_per_s=1.0), ["low"]),
    ],
)
async def test_sampling_keeps_the_share_of_traces_it_says(
    sampling: SamplingSettings, kept: list[str]
) -> None:
    harness = Harness(replace(SETTINGS, sampling=sampling))
    harness.send_spans(span("s1", "low", trace_id="0" * 31 + "1"), span("s2", "high", trace_id="f" * 32))

    assert sorted(await names(harness)) == kept
    await harness.aclose()


@pytest.mark.parametrize(("parent_based", "kept"), [(True, []), (False, ["child"])])
async def test_spans_follow_what_was_decided_for_their_trace_if_wanted(
    parent_based: bool, kept: list[str]
) -> None:
    rules = (SamplingRule("root", None, 0.0),)
    harness = Harness(replace(SETTINGS, sampling=SamplingSettings(rules=rules, parent_based=parent_based)))
    harness.send_spans(span("s1", "root"), span("s2", "child", parent="s1"))

    assert await names(harness) == kept
    await harness.aclose()


async def test_a_rate_limit_lets_traces_through_again_as_time_passes() -> None:
    harness = Harness(replace(SETTINGS, sampling=SamplingSettings(traces_per_s=1.0)))
    for each in range(3):
        harness.send_spans(span(f"s{each}", str(each), trace_id=f"{each:032x}"))
        harness.pass_ms(500)

    assert await names(harness) == ["0", "2"]
    await harness.aclose()


async def test_a_trace_trigger_tells_each_trace_once_however_many_spans_it_got(harness: Harness) -> None:
    received = harness.recorder("watch")
    harness.bind("trace", "watch", {})
    harness.send_spans(span("s1"), span("s2", parent="s1"))
    harness.send_spans(span("s3", parent="s1"), span("m1", trace_id=OTHER))
    await harness.settle()

    assert received == [{"trace_ids": [TRACE, OTHER]}]


@pytest.mark.parametrize(
    ("config", "fires"),
    [({"service_name": "BILLING"}, True), ({"service_name": "bill"}, False), ({"status": "error"}, False)],
)
async def test_a_trace_trigger_filters_by_equality(
    harness: Harness, config: dict[str, str], fires: bool
) -> None:
    received = harness.recorder("watch")
    harness.bind("trace", "watch", config)
    harness.send_spans(span("s1"))
    await harness.settle()

    assert bool(received) is fires


async def test_what_a_trace_trigger_causes_does_not_fire_it_again(harness: Harness) -> None:
    traces: list[str] = []

    async def watch(call: Call) -> Any:
        traces.append((call.traceparent or "").split("-")[1])
        return payload.NULL

    harness.engine.add_builtin("watch", watch, owner_name="test")
    harness.bind("trace", "watch", {})
    harness.send_spans(span("s1"))
    await harness.settle()
    harness.send_spans(span("s2", trace_id=traces[0]))
    await harness.settle()

    assert len(traces) == 1


async def test_a_trace_trigger_with_a_malformed_configuration_is_refused(harness: Harness) -> None:
    with pytest.raises(TriggerRejectedError, match="service_name and status"):
        harness.bind("trace", "watch", {"status": 5})


async def test_a_call_without_a_trace_is_the_root_of_the_one_its_function_gets(harness: Harness) -> None:
    harness.offer("shop::order", lambda _: None)
    await harness.call("shop::order", {})
    (row,) = (await harness.call("engine::traces::list", {}))["spans"]

    assert (row["name"], row["parent_span_id"], row["status"]) == ("call shop::order", None, "ok")
    assert row["service_name"] == "iii"
    assert ["function_id", "shop::order"] in row["attributes"]


async def test_a_call_in_a_trace_is_below_its_caller(harness: Harness) -> None:
    harness.offer("shop::order", lambda _: None)
    caller = f"00-{TRACE}-{'b' * 16}-01"
    await harness.engine.invoke(Call("shop::order", payload.encode({}), traceparent=caller))
    (row,) = (await harness.call("engine::traces::list", {}))["spans"]

    assert (row["trace_id"], row["parent_span_id"]) == (TRACE, "b" * 16)
    assert row["span_id"] != "b" * 16


async def test_a_failed_call_is_an_error_with_its_text(harness: Harness) -> None:
    with pytest.raises(FunctionFailedError):
        await harness.call("nobody::offers", {})
    (row,) = (await harness.call("engine::traces::list", {}))["spans"]

    assert row["status"] == "error"
    assert "nobody::offers not found" in row["status_description"]
    assert ["error.type", "function_not_found"] in row["attributes"]


async def test_unsampled_calls_and_those_of_consoles_are_not_recorded(harness: Harness) -> None:
    harness.offer("shop::order", lambda _: None)
    unsampled = f"00-{TRACE}-{'b' * 16}-00"
    await harness.engine.invoke(Call("shop::order", payload.encode({}), traceparent=unsampled))
    await harness.call("engine::health::check", {})

    assert await names(harness, include_internal=True) == []


async def test_a_message_and_its_attempts_are_one_trace(harness: Harness) -> None:
    (recorder,) = [each for each in harness.engine.observers if type(each).__name__ == "SpanRecorder"]
    caller, message, attempt = (f"00-{TRACE}-{letter * 16}-01" for letter in "bcd")
    call = Call("shop::pay", payload.encode({}), traceparent=caller)
    recorder.enqueue_started(EnqueueStart(call, "pay", caller, message))(None)
    start = DeliveryStart("shop::pay", "pay", "chain", "receipt", "iii.chain/x", 2, 3, 0, message, attempt)
    recorder.delivery_started(start)(ErrorBody("declined", "no funds"))
    (root,) = (await harness.call("engine::traces::tree", {"trace_id": TRACE}))["roots"]
    (below,) = root["children"]

    assert (root["name"], root["span_id"], root["parent_span_id"]) == (
        "enqueue shop::pay",
        "c" * 16,
        "b" * 16,
    )
    assert (below["name"], below["span_id"], below["status"]) == ("deliver shop::pay", "d" * 16, "error")
    assert {"iii.chain_id", "iii.receipt", "iii.attempt", "temporal.workflow_id"} <= {
        key for key, _ in below["attributes"]
    }


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coalescing waits 300 ms; a turn of the loop is enough to see that it does."""
    monkeypatch.setattr("bridge.builtins.observability.trace_trigger._COALESCED_S", 0)
