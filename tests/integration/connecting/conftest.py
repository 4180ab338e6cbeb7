"""Bridges that look at their credentials without pause."""

from functools import partial

import pytest

from bridge.temporal.connection import TemporalConnection


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bridges look at the files of credentials all the time."""
    monkeypatch.setattr(
        "bridge.temporal.service.TemporalConnection", partial(TemporalConnection, look_interval_s=0.05)
    )
