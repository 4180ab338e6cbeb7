"""What one configuration changes of another, and how much of that a running bridge can take."""

import pytest

from bridge.config import change_of
from tests.unit.config.conftest import Load

BASE = """
workers:
  - name: iii-queue
    config: {queue_configs: {pay: {concurrency: 1}}}
  - name: iii-http
    config: {port: 3111, cors: {allowed_origins: [a]}}
  - name: iii-worker-manager
    config: {port: 49134}
  - name: iii-worker-manager
    config: {port: 49135}
"""


@pytest.mark.parametrize(
    ("block", "old", "new", "live", "restart"),
    [
        ("iii-queue", "concurrency: 1", "concurrency: 2", ("iii-queue.queue_configs.pay.concurrency",), ()),
        ("iii-queue", "pay:", '"a.b":', ("iii-queue.queue_configs.pay", 'iii-queue.queue_configs."a.b"'), ()),
        ("iii-http", "[a]", "[b]", ("iii-http.cors.allowed_origins",), ()),
        ("iii-http", ", cors: {allowed_origins: [a]}", "", ("iii-http.cors",), ()),
        ("iii-http", "port: 3111", "tokens: [secret-of-16-characters]", (), ("iii-http.tokens",)),
        (
            "iii-worker-manager",
            "port: 49135",
            "middleware_function_id: m, port: 49136",
            ("iii-worker-manager[1].middleware_function_id",),
            ("iii-worker-manager[1].port",),
        ),
        (
            "iii-worker-manager",
            "  - name: iii-worker-manager\n    config: {port: 49135}\n",
            "",
            (),
            ("iii-worker-manager",),
        ),
        ("iii-state", "workers:", "workers:\n  - name: iii-state", (), ("iii-state",)),
        (
            "registration_namespace_grace_ms",
            "workers:",
            "registration_namespace_grace_ms: 1\nworkers:",
            (),
            ("registration_namespace_grace_ms",),
        ),
    ],
)
def test_the_innermost_keys_are_named(
    load: Load, block: str, old: str, new: str, live: tuple[str, ...], restart: tuple[str, ...]
) -> None:
    assert old in BASE
    change = change_of(block, load(BASE), load(BASE.replace(old, new, 1)))
    assert set(change.live) == set(live)
    assert change.restart == restart


def test_keys_that_need_a_restart_keep_their_value_and_the_others_change(load: Load) -> None:
    served = load(BASE)
    wanted = load(BASE.replace("{port: 49135}", "{port: 49136, middleware_function_id: m}"))
    listener = change_of("iii-worker-manager", served, wanted).config.listeners[1]
    assert (listener.port, listener.middleware_function_id) == (49135, "m")


def test_equal_configurations_change_nothing(load: Load) -> None:
    served, wanted = load(BASE), load(BASE)
    change = change_of("iii-http", served, wanted)
    assert (change.config, change.live, change.restart) == (served, (), ())
