"""What tests of the way to Temporal share: an authority, and bridges that look at credentials often."""

from functools import partial
from pathlib import Path

import pytest

from bridge.temporal.connection import TemporalConnection
from tests.support.pki import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that Temporal knows at first."""
    return Authority(tmp_path)


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bridges look at the files of credentials all the time."""
    monkeypatch.setattr(
        "bridge.temporal.service.TemporalConnection", partial(TemporalConnection, look_interval_s=0.05)
    )
