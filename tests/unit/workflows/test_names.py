"""Names in Temporal: readable, within its limits, and never two for one or one for two."""

from hypothesis import assume, given
from hypothesis import strategies as st

from workflows.contract import Tenancy
from workflows.names import (
    alarm_id,
    annex_id,
    dead_letter_id,
    dead_letter_prefix,
    dedupe_id,
    lane_id,
    queue_task_queue,
    shorten,
    subscriber_queue,
    topic_id,
    workflow_type,
)

LONGEST_ID = 255
"""Of Temporal on PostgreSQL and MySQL, in characters; Temporal itself takes 1,000 bytes."""
TENANCY = Tenancy("iii")
LONGEST_TENANCY = Tenancy("p" * 63)
RECEIPT = "00000000-0000-4000-8000-000000000000"
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def test_an_ordinary_lane_reads_like_its_group() -> None:
    assert lane_id(TENANCY, "order-payment", "order 7: été") == (
        "iii.fifo/order-payment/order 7: %C3%A9t%C3%A9"
    )


@given(queue=names, group=names, other_queue=names, other_group=names)
def test_two_groups_never_share_a_lane(queue: str, group: str, other_queue: str, other_group: str) -> None:
    assume((queue, group) != (other_queue, other_group))
    assert lane_id(TENANCY, queue, group) != lane_id(TENANCY, other_queue, other_group)


@given(queue=names, other=names)
def test_every_id_is_one_that_every_database_of_temporal_takes(queue: str, other: str) -> None:
    ids = (
        lane_id(LONGEST_TENANCY, queue, other),
        annex_id(LONGEST_TENANCY, queue, other, RECEIPT),
        dead_letter_id(LONGEST_TENANCY, queue, RECEIPT),
        dedupe_id(LONGEST_TENANCY, queue, other),
        alarm_id(LONGEST_TENANCY, queue),
        topic_id(LONGEST_TENANCY, queue),
    )
    for each in ids:
        assert each.isascii()
        assert "\0" not in each
        assert len(each) <= LONGEST_ID


@given(queue=names, value=names, other=names)
def test_two_values_never_share_a_marker(queue: str, value: str, other: str) -> None:
    assume(value != other)
    assert dedupe_id(LONGEST_TENANCY, queue, value) != dedupe_id(LONGEST_TENANCY, queue, other)


def test_the_type_of_a_chain_is_its_function_as_far_as_every_database_takes_it() -> None:
    assert workflow_type("orders::validate") == "orders::validate"
    assert workflow_type("a\0b") == "a\N{REPLACEMENT CHARACTER}b"
    long_one, other = workflow_type("f" * 300), workflow_type("f" * 299 + "g")
    assert len(long_one) == LONGEST_ID
    assert long_one != other


@given(queue=names, receipt=st.uuids())
def test_a_dead_letter_is_found_by_the_prefix_of_its_queue(queue: str, receipt: object) -> None:
    assert dead_letter_id(TENANCY, queue, str(receipt)).startswith(dead_letter_prefix(TENANCY, queue))


@given(text=names, other=names)
def test_texts_that_are_shortened_stay_different(text: str, other: str) -> None:
    assume(text != other)
    assert len(shorten(text, 40)) <= 40
    assert shorten(text, 40) != shorten(other, 40)


def test_the_queue_of_a_subscriber_reads_like_its_topic_and_function() -> None:
    assert subscriber_queue("order.created", "notify::email", "default") == "order.created::notify::email"
    assert subscriber_queue("order:created", "email", "shop") == "order:created::email@shop"
    assert subscriber_queue("a@b", "c\\d", "default") == r"a\@b::c\\d"


NAMES = st.text(st.sampled_from("ab:@\\é"), min_size=1)


@given(NAMES, NAMES, NAMES, NAMES, NAMES, NAMES)
def test_two_subscribers_never_share_a_queue(
    topic: str,
    function_id: str,
    namespace: str,
    other_topic: str,
    other_function_id: str,
    other_namespace: str,
) -> None:
    subscriber = (topic, function_id, namespace)
    other = (other_topic, other_function_id, other_namespace)
    assume(subscriber != other)
    assert subscriber_queue(*subscriber) != subscriber_queue(*other)


def test_a_topic_is_not_taken_for_one_whose_function_has_more_parts() -> None:
    assert subscriber_queue("a::b", "c", "default") != subscriber_queue("a", "b::c", "default")
    assert subscriber_queue("a:", "b", "default") != subscriber_queue("a", ":b", "default")


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_the_task_queue_of_a_subscriber_is_one_that_temporal_takes(
    topic: str, function_id: str, namespace: str
) -> None:
    queue = subscriber_queue(topic * 50, function_id * 50, namespace)
    assert len(queue_task_queue(Tenancy("p" * 63), queue).encode()) <= 1000
