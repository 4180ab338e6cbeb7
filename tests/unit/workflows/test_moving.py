"""What is too much to carry is divided into what one activity takes."""

from hypothesis import given
from hypothesis import strategies as st

from workflows.contract import Message, Parcel, RetryRules
from workflows.moving import Loaded, batches, json_value, size_bytes

ROOM_BYTES = 1_000_000


def load(number: int, payload_bytes: int) -> Loaded:
    message = Message(
        receipt=str(number), chain_id="c", home="c", function_id="f", queue="q", rules=RetryRules()
    )
    return Parcel(message), json_value(b"x" * payload_bytes)


@given(st.lists(st.sampled_from([0, 10, 100_000, 600_000, 1_900_000]), max_size=12))
def test_every_message_is_in_one_batch_in_its_order(sizes: list[int]) -> None:
    loads = [load(number, size) for number, size in enumerate(sizes)]
    assert [each for batch in batches(loads) for each in batch] == loads


@given(st.lists(st.sampled_from([0, 10, 100_000, 600_000, 1_900_000]), max_size=12))
def test_a_batch_of_several_fits_into_one_call(sizes: list[int]) -> None:
    for batch in batches([load(number, size) for number, size in enumerate(sizes)]):
        assert batch
        assert len(batch) == 1 or sum(size_bytes(*each) for each in batch) <= ROOM_BYTES
