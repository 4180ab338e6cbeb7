"""Where the demo finds what it runs."""

import importlib.util
from pathlib import Path

import pytest

from bridge.cli import demo_worker
from bridge.cli.demo_worker import find_checkout
from bridge.errors import ConfigError


def test_the_example_is_found_in_a_checkout() -> None:
    assert (find_checkout() / "examples/order_fulfillment/worker.py").is_file()


def test_without_a_checkout_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_worker, "__file__", str(tmp_path / "bridge/cli/demo_worker.py"))
    with pytest.raises(ConfigError, match="Clone the repository and run `make run`"):
        find_checkout()


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'iii-temporal\[demo\]'"):
        find_checkout()
