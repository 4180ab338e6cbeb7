"""As many connections as the system lets the bridge have."""

import resource
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from bridge.listeners.open_files import raise_open_file_limit

UNLIMITED = resource.RLIM_INFINITY
Limits = Callable[[int, int], list[tuple[int, int]]]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Pretend the system's limits; returns them, the ones in force last."""

    def pretend(soft: int, hard: int) -> list[tuple[int, int]]:
        limits = [(soft, hard)]
        monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
        monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
        return limits

    return pretend


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (1024, 524_288, 65_536),
        (1024, UNLIMITED, 65_536),
        (1024, 20_000, 20_000),
        (100_000, 524_288, 100_000),
        (20_000, 20_000, 20_000),
        (UNLIMITED, UNLIMITED, UNLIMITED),
    ],
)
def test_the_limit_is_raised_as_far_as_useful_and_allowed_and_never_lowered(system, soft, hard, raised):
    limits = system(soft, hard)

    assert raise_open_file_limit() == raised
    assert limits[-1] == (raised, hard)


def test_a_low_limit_that_cannot_be_raised_is_logged_with_its_remedy(system):
    system(1024, 1024)
    with capture_logs() as logs:
        assert raise_open_file_limit() == 1024

    (warning,) = logs
    assert warning["log_level"] == "warning"
    assert "ulimit -Hn" in warning["event"]


def test_a_system_that_refuses_keeps_its_limit(system, monkeypatch):
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    system(8192, 65_536)
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert raise_open_file_limit() == 8192
