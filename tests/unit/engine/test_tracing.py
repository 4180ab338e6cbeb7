import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.tracing import (
    BAGGAGE_KEY,
    baggage_for,
    baggage_without_tags,
    invocation_in_baggage,
    new_traceparent,
    trace_id_of,
    valid_traceparent,
)

UUID = "5b0c2d2e-0000-4000-8000-000000000001"
TRACE = "a" * 32


def test_a_new_trace_context_is_valid_and_sampled():
    traceparent = new_traceparent(UUID)

    assert traceparent == "00-5b0c2d2e000040008000000000000001-5b0c2d2e00004000-01"
    assert valid_traceparent(traceparent) == traceparent


def test_a_trace_can_be_continued():
    assert trace_id_of(new_traceparent(UUID, TRACE)) == TRACE


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", f"00-{TRACE}-01", f"00-{TRACE.upper()}-{'b' * 16}-01", f"00-{TRACE}-{'b' * 16}-01\n"],
)
def test_anything_else_is_no_trace_context(text):
    assert trace_id_of(text) is None
    assert valid_traceparent(text) is None


def test_baggage_names_the_innermost_function_and_invocation_and_keeps_other_entries():
    once = baggage_for("mail::send", "inner", "tenant=7,,  ,iii.function.id=a,user=8;secret")
    twice = baggage_for("stock::count", "innermost", once)

    assert twice == f"tenant=7,user=8;secret,iii.function.id=stock::count,{BAGGAGE_KEY}=innermost"


def test_a_function_id_cannot_add_entries_to_the_baggage():
    baggage = baggage_for("a,b=c; é%\ud800", "i", None)

    assert baggage == f"iii.function.id=a%2Cb=c%3B%20%C3%A9%25?,{BAGGAGE_KEY}=i"


@pytest.mark.parametrize(
    ("baggage", "left"),
    [
        (None, None),
        ("iii.tag.kind=a", None),
        (
            "a=1,iii.tag.kind=x, iii.tag.display_name = y;p,iii.tag.hidden=true,iii.tag.other=1,b=2",
            "a=1,iii.tag.other=1,b=2",
        ),
    ],
)
def test_tags_of_the_enqueuers_span_end_with_it(baggage, left):
    assert baggage_without_tags(baggage) == left


@pytest.mark.parametrize(
    ("baggage", "found"),
    [
        ("", None),
        ("tenant=7", None),
        (f"{BAGGAGE_KEY}={UUID}", UUID),
        (f"tenant=7, {BAGGAGE_KEY} = {UUID} ;property=1,user=8", UUID),
        (f"x-{BAGGAGE_KEY}={UUID}", None),
        (BAGGAGE_KEY, ""),
    ],
)
def test_our_baggage_entry_is_found_among_others(baggage, found):
    assert invocation_in_baggage(baggage) == found


@given(st.text())
def test_any_baggage_leads_back_to_the_invocation_it_was_given(baggage):
    assert invocation_in_baggage(baggage_for("f", UUID, baggage)) == UUID
