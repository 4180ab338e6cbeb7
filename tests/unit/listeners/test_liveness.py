import pytest

from bridge.listeners.liveness import LOOKS, Finding, Liveness


@pytest.fixture
def liveness():
    return Liveness(looks_before_ping=3)


def looks(liveness, count, *, is_read=True, unsent_bytes=0):
    is_blocked = unsent_bytes > 0
    return [
        liveness.look(is_read=is_read, is_blocked=is_blocked, unsent_bytes=unsent_bytes) for _ in range(count)
    ]


def test_a_quiet_peer_is_pinged_once_and_then_given_time_to_answer(liveness):
    found = looks(liveness, 3 + LOOKS)

    assert found[:3] == [Finding.ALIVE, Finding.ALIVE, Finding.QUIET]
    assert found[3:-1] == [Finding.ALIVE] * (LOOKS - 1)
    assert found[-1] is Finding.SILENT


def test_whatever_comes_from_a_peer_shows_that_it_is_there(liveness):
    looks(liveness, 2 + LOOKS)
    liveness.heard()

    assert looks(liveness, 4)[-2:] == [Finding.ALIVE, Finding.QUIET]


def test_a_peer_that_the_bridge_does_not_read_need_not_answer(liveness):
    assert set(looks(liveness, 100, is_read=False)) == {Finding.ALIVE}
    assert looks(liveness, 3)[-1] is Finding.QUIET


def test_a_peer_that_takes_nothing_of_what_waits_is_found_though_it_sends(liveness):
    found = []
    for _ in range(LOOKS + 1):
        liveness.heard()
        found += looks(liveness, 1, unsent_bytes=1000)

    assert Finding.DEAF not in found[: LOOKS - 1]
    assert found[-1] is Finding.DEAF


def test_a_peer_that_reads_is_not_taken_for_deaf_however_slowly_it_does(liveness):
    found = []
    for unsent_bytes in range(1000, 0, -1):  # it says nothing: the ping waits behind all this
        found += looks(liveness, LOOKS - 1, unsent_bytes=unsent_bytes)

    assert set(found) == {Finding.ALIVE, Finding.QUIET}


def test_a_peer_that_took_what_waited_is_not_deaf_because_as_much_waits_again(liveness):
    found = []
    for _ in range(3 * LOOKS):
        liveness.heard()
        liveness.took()
        found += looks(liveness, 1, unsent_bytes=1000)

    assert Finding.DEAF not in found


def test_what_waited_before_does_not_count_once_everything_was_taken(liveness):
    liveness.heard()
    looks(liveness, LOOKS - 1, is_read=False, unsent_bytes=10)
    looks(liveness, 1, is_read=False)

    assert Finding.DEAF not in looks(liveness, LOOKS - 1, is_read=False, unsent_bytes=10)
