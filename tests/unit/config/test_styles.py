"""Files of every iii generation: spec 05 §4.1, §4.3."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Build = Callable[..., Any]

OLD = """
    port: 50000
    modules:
      - class: modules::worker::WorkerModule
      - class: modules::api::RestApiModule
        config: {port: 4000, default_timeout: 1000, cors: {allowed_origins: ["*"]}}
      - class: modules::stream::StreamModule
        config: {port: 4001, adapter: {class: modules::stream::adapters::RedisAdapter}}
      - class: modules::state::StateModule
        config: {adapter: {class: modules::state::adapters::KvStore, config: {store_method: in_memory}}}
      - class: modules::queue::QueueModule
        config:
          queue_configs: {pay: {type: fifo, message_group_field: acct, max_retries: 5}}
          adapter: {class: modules::queue::BuiltinQueueAdapter, config: {store_method: file_based}}
      - class: modules::pubsub::PubSubModule
        config: {adapter: {class: modules::pubsub::LocalAdapter}}
      - class: modules::cron::CronModule
        config: {adapter: {class: modules::cron::KvCronAdapter}}
      - class: modules::observability::OtelModule
        config: {exporter: memory}
      - class: modules::http_functions::HttpFunctionsModule
        config: {security: {require_https: false}}
      - class: modules::shell::ExecModule
        config: {exec: ["node worker.js"], watch: ["src/**/*.ts"]}
      - class: modules::telemetry::TelemetryModule
      - class: modules::temporal::TemporalModule
        config: {address: "temporal:7233", prefix: shop}
"""
NEW = """
    workers:
      - name: iii-worker-manager
        config: {port: 50000}
      - name: iii-http
        config: {port: 4000, default_timeout: 1000, cors: {allowed_origins: ["*"]}}
      - name: iii-stream
        config: {port: 4001, adapter: {name: redis}}
      - name: iii-state
        config: {adapter: {name: kv, config: {store_method: in_memory}}}
      - name: iii-queue
        config:
          queue_configs: {pay: {type: fifo, message_group_field: acct, max_retries: 5}}
          adapter: {name: builtin, config: {store_method: file_based}}
      - name: iii-pubsub
        config: {adapter: {name: local}}
      - name: iii-cron
        config: {adapter: {name: kv}}
      - name: iii-observability
        config: {exporter: memory}
      - name: iii-http-functions
        config: {security: {require_https: false}}
      - name: iii-exec
        config: {exec: ["node worker.js"], watch: ["src/**/*.ts"]}
      - name: iii-telemetry
      - name: iii-engine-functions
      - name: iii-temporal
        config: {address: "temporal:7233", prefix: shop}
"""
SEED_002 = """
    port: 49134
    modules:
      - class: modules::rest_api::RestApiModule
        config:
          port: 3111
      - class: modules::state::StateModule
        config:
          adapter:
            class: modules::state::adapters::KvStore
            config:
              store_method: file_based
              file_path: ./data/state
      - class: modules::queue::QueueModule
        config:
          adapter:
            class: modules::queue::BuiltinQueueAdapter
      - class: modules::observability::ObservabilityModule
        config:
          exporter: memory
"""


def test_both_styles_mean_the_same(load: Build) -> None:
    old, new = load(OLD), load(NEW)
    assert old == new
    assert old.warnings == ()
    assert old.listeners[0].port == 50000
    assert old.stream.adapter.name == "redis"
    assert old.queues["pay"].message_group_field == "acct"
    assert old.processes[0].commands == ("node worker.js",)


def test_the_short_names_of_0_22_mean_the_same(load: Build) -> None:
    short = NEW
    for name in ("http", "state", "queue", "pubsub", "cron"):
        short = short.replace(f"name: iii-{name}\n", f"name: {name}\n")
    assert load(short) == load(NEW)


def test_the_published_example_loads_without_warnings(load: Build) -> None:
    config = load(SEED_002)
    assert config.warnings == ()
    assert (config.listeners[0].port, config.http.port) == (49134, 3111)
    assert str(config.state.adapter.config.database_path) == "data/state/bridge-state.sqlite3"
    assert config.observability.exporter == "memory"


def test_both_lists_and_both_entry_styles_may_stand_side_by_side(load: Build) -> None:
    config = load(
        """
        port: 0
        workers:
          - class: modules::cron::CronModule
        modules:
          - name: iii-pubsub
          - name: iii-state#1
        """
    )
    assert config.cron is not None
    assert config.pubsub is not None
    assert config.state is not None
    assert config.listeners[0].port == 49134


def test_several_listeners_and_processes_may_be_listed(load: Build) -> None:
    config = load(
        """
        workers:
          - {name: iii-worker-manager, config: {port: 5001}}
          - {name: iii-worker-manager, config: {port: 5002, host: 0.0.0.0}}
          - {name: iii-exec, config: {exec: [a]}}
          - {name: iii-exec, config: {exec: [b]}}
        """
    )
    assert [(each.host, each.port) for each in config.listeners] == [("127.0.0.1", 5001), ("0.0.0.0", 5002)]
    assert [each.commands for each in config.processes] == [("a",), ("b",)]


def test_ports_that_the_system_chooses_do_not_clash(load: Build) -> None:
    listener = "{name: iii-worker-manager, config: {port: 0}}"
    assert len(load(f"workers: [{listener}, {listener}]").listeners) == 2


def test_the_old_port_is_that_of_a_listener_that_names_none(load: Build) -> None:
    config = load("{port: 5001, workers: [{name: iii-worker-manager, config: {host: '::1'}}]}")
    assert [(each.host, each.port) for each in config.listeners] == [("::1", 5001)]


@pytest.mark.parametrize("text", ["", "# nothing\n", "workers: []", "modules: []"])
def test_what_a_file_does_not_list_is_not_served(load: Build, text: str) -> None:
    config = load(text)
    not_listed = (config.http, config.state, config.stream, config.pubsub, config.cron, config.http_functions)
    assert not_listed == (None,) * 6
    assert list(config.queues) == ["default"]
    assert [(each.host, each.port) for each in config.listeners] == [("127.0.0.1", 49134)]
    assert config.observability.logs_exporter == "memory"
    assert config.warnings == ()


def test_without_a_file_the_usual_workers_are_served_and_it_is_said(load_without_file: Build) -> None:
    config = load_without_file()
    assert None not in (config.http, config.state, config.stream, config.pubsub, config.cron)
    assert config.http_functions is None
    assert config.source is None
    assert [warning.split(" in ")[0] for warning in config.warnings] == ["no iii-config.yaml or config.yaml"]


def test_the_file_is_looked_for_under_both_names(load_without_file: Build, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("workers: []")
    assert str(load_without_file().source) == "config.yaml"
    (tmp_path / "iii-config.yaml").write_text("workers: []")
    assert str(load_without_file().source) == "iii-config.yaml"


def test_nothing_listens_beyond_loopback_unless_the_file_says_so(load_without_file: Build) -> None:
    config = load_without_file()
    hosts = {config.listeners[0].host, config.http.host, config.stream.host, config.temporal.admin.host}
    assert hosts == {"127.0.0.1"}


def test_a_middleware_list_is_in_the_order_of_priority(load: Build) -> None:
    config = load(
        """
        workers:
          - name: iii-http
            config:
              middleware:
                - {function_id: late, priority: 5}
                - {function_id: first, priority: -1}
                - {function_id: b}
        """
    )
    assert [entry.function_id for entry in config.http.middleware] == ["first", "b", "late"]


def test_rules_of_a_listener_take_every_published_form(load: Build) -> None:
    config = load(
        """
        workers:
          - name: iii-worker-manager
            config:
              rbac:
                auth_function_id: auth::check
                expose_functions:
                  - match("api::*")
                  - " match('*::read') "
                  - {match: "x::*", namespace: shop}
                  - {metadata: {public: true, tier: match("free*")}}
        """
    )
    rules = config.listeners[0].rbac.expose_functions
    assert [(rule.match, rule.namespace) for rule in rules[:3]] == [
        ("api::*", "default"),
        ("*::read", "default"),
        ("x::*", "shop"),
    ]
    assert rules[3].metadata["public"] is True
    assert rules[3].metadata["tier"].pattern == "free*"


def test_an_empty_allowlist_allows_any_url(load: Build) -> None:
    text = "workers: [{name: iii-http-functions, config: {security: {url_allowlist: []}}}]"
    assert load(text).http_functions.security.url_allowlist == ("*",)


def test_the_grace_time_of_0_23_can_come_from_the_environment(load: Build) -> None:
    text = "registration_namespace_grace_ms: 100"
    assert load("").namespace_grace_ms == 5000
    assert load(text).namespace_grace_ms == 100
    assert load(text, {"III_NAMESPACE_GRACE_MS": "7"}).namespace_grace_ms == 7
