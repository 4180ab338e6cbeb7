"""A client that reads nothing is cut off, a slow one is not."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.builtins.http.write_watch import WriteWatch


class Timer:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Client:
    """A transport and a clock, both driven by hand."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self.is_cut_off = False
        self._timers: list[tuple[Timer, Callable[[], None]]] = []

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def abort(self) -> None:
        self.is_cut_off = True

    def call_later(self, delay_s: float, work: Callable[[], None]) -> Timer:
        assert delay_s == 60
        self._timers.append((Timer(), work))
        return self._timers[-1][0]

    def let_the_time_pass(self) -> None:
        due, self._timers = self._timers, []
        for timer, work in due:
            if not timer.is_cancelled:
                work()


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def watch(client: Client) -> WriteWatch:
    clock: Any = client
    return WriteWatch(clock, client, timeout_s=60)


def test_a_client_that_reads_nothing_is_cut_off(client: Client, watch: WriteWatch) -> None:
    client.waiting_bytes = 100
    watch.start()
    client.let_the_time_pass()
    assert client.is_cut_off


def test_a_client_that_reads_slowly_is_served_until_it_stops(client: Client, watch: WriteWatch) -> None:
    client.waiting_bytes = 100
    watch.start()
    for _ in range(10):
        client.waiting_bytes -= 1
        client.let_the_time_pass()
        assert not client.is_cut_off
    client.let_the_time_pass()
    assert client.is_cut_off


def test_nobody_is_cut_off_when_nothing_waits(client: Client, watch: WriteWatch) -> None:
    watch.start()
    watch.stop()
    watch.stop()
    client.let_the_time_pass()
    assert not client.is_cut_off


def test_watching_again_counts_from_then(client: Client, watch: WriteWatch) -> None:
    client.waiting_bytes = 100
    watch.start()
    client.waiting_bytes = 50
    watch.start()
    client.waiting_bytes = 49
    client.let_the_time_pass()
    assert not client.is_cut_off
