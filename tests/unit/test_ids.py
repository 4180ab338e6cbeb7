"""Ids are UUIDs of version 4, written as the SDKs write them (spec 04 §6.1)."""

import uuid

from bridge.ids import new_uuid


def test_an_id_is_a_random_uuid_in_its_usual_form() -> None:
    for _ in range(200):
        given = new_uuid()
        parsed = uuid.UUID(given)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, given)


def test_no_id_is_given_twice() -> None:
    assert len({new_uuid() for _ in range(10_000)}) == 10_000
