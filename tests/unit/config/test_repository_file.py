"""The file at the top of the repository is the one the order pipeline runs with."""

from pathlib import Path

import pytest

from bridge.config import BridgeConfig, StateKvAdapter, load_config

FILE = Path(__file__).parents[3] / "iii-config.yaml"


@pytest.fixture(scope="module")
def config() -> BridgeConfig:
    return load_config(FILE, environ={})


def test_it_loads_without_warnings(config: BridgeConfig) -> None:
    assert config.warnings == ()


def test_it_declares_the_queues_of_the_order_pipeline(config: BridgeConfig) -> None:
    assert {
        name: (queue.kind, queue.message_group_field, queue.max_retries, queue.concurrency)
        for name, queue in config.queues.items()
        if name != "default"
    } == {
        "order-validate": ("standard", None, 2, 10),
        "order-payment": ("fifo", "order_id", 5, 2),
        "order-ship": ("standard", None, 3, 10),
    }


def test_it_listens_on_the_ports_of_iii_and_on_loopback_only(config: BridgeConfig) -> None:
    assert config.http
    assert config.stream
    assert [(each.host, each.port) for each in (config.listeners[0], config.http, config.stream)] == [
        ("127.0.0.1", 49134),
        ("127.0.0.1", 3111),
        ("127.0.0.1", 3112),
    ]


def test_its_state_is_on_disk_and_takes_the_paths_of_iiis_examples(config: BridgeConfig) -> None:
    assert config.state
    assert isinstance(config.state.adapter, StateKvAdapter)
    assert str(config.state.adapter.config.database_path) == "data/state/bridge-state.sqlite3"
    assert config.state.dotted_paths
