"""Defaults, derived values and notices of single blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.config import QueueConfig, TemporalBlock
from bridge.config.blocks.adapters import StateKvConfig, StreamKvConfig

Build = Callable[..., Any]


def test_defaults_of_a_queue_are_those_of_iii_and_ours() -> None:
    assert QueueConfig().model_dump() == {
        "max_retries": 3,
        "concurrency": 10,
        "kind": "standard",
        "message_group_field": None,
        "max_priority": None,
        "priority_field": None,
        "backoff_ms": 1000,
        "poll_interval_ms": 100,
        "timeout_ms": 1_800_000,
        "max_backoff_ms": 3_600_000,
        "backoff_type": "exponential",
        "non_retryable_errors": (),
        "rate_per_s": None,
        "provider_timeout_ms": None,
        "delay_field": None,
        "dedupe_field": None,
        "dedupe_window_ms": 300_000,
        "on_dead_letter": "continue",
        "dlq": {"capacity": None, "alert_at": 0.8, "alert_function_id": None},
    }


@pytest.mark.parametrize(("max_retries", "attempts"), [(0, 1), (1, 1), (2, 2), (5, 5)])
def test_max_retries_counts_attempts_and_zero_is_one(max_retries: int, attempts: int) -> None:
    assert QueueConfig(max_retries=max_retries).max_attempts == attempts


@pytest.mark.parametrize(
    ("backoff_type", "delays_ms"),
    [
        ("exponential", [1000, 2000, 4000, 6000, 6000]),
        ("linear", [1000, 2000, 3000, 4000, 5000]),
        ("fixed", [1000, 1000, 1000, 1000, 1000]),
    ],
)
def test_delays_grow_up_to_the_longest(backoff_type: str, delays_ms: list[int]) -> None:
    queue = QueueConfig.model_validate({"backoff_type": backoff_type, "max_backoff_ms": 6000})
    assert [queue.backoff_after_ms(failure) for failure in range(1, 6)] == delays_ms


def test_a_late_failure_of_a_queue_that_tries_for_ever_has_a_delay() -> None:
    assert QueueConfig().backoff_after_ms(2**31) == 3_600_000


def test_a_long_first_delay_raises_the_longest_one() -> None:
    assert QueueConfig(backoff_ms=7_200_000).max_backoff_ms == 7_200_000


def test_the_default_queue_always_exists_and_can_be_configured(load: Build) -> None:
    text = "workers: [{name: iii-queue, config: {queue_configs: {%s}}}]"
    assert dict(load(text % "pay: {}").queues) == {"default": QueueConfig(), "pay": QueueConfig()}
    assert load(text % "default: {max_retries: 9}").queues["default"].max_retries == 9
    assert dict(load("workers: [{name: iii-queue}]").queues) == {"default": QueueConfig()}


def test_fifo_keeps_its_concurrency_as_the_number_of_groups_at_once(load: Build) -> None:
    queue = "{type: fifo, message_group_field: order_id, concurrency: 2}"
    loaded = load(f"workers: [{{name: iii-queue, config: {{queue_configs: {{pay: {queue}}}}}}}]").queues[
        "pay"
    ]
    assert loaded.is_fifo
    assert loaded.concurrency == 2


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (StateKvConfig(), "data/state/bridge-state.sqlite3"),
        (StateKvConfig(file_path="state.db"), "state.db/bridge-state.sqlite3"),
        (StateKvConfig(file_path="/var/iii/state.sqlite3"), "/var/iii/state.sqlite3"),
        (StateKvConfig(store_method="in_memory"), "None"),
        (StreamKvConfig(), "None"),
        (StreamKvConfig(store_method="file_based", file_path="d"), "d/bridge-stream.sqlite3"),
    ],
)
def test_a_file_based_store_is_one_sqlite_file(config: StateKvConfig | StreamKvConfig, path: str) -> None:
    assert str(config.database_path) == path


@pytest.mark.parametrize(
    ("block", "adapter"), [("iii-state", "{}"), ("iii-stream", "{store_method: file_based}")]
)
def test_data_of_iiis_engine_gives_a_warning_until_there_is_data_of_ours(
    load: Build, tmp_path: Path, block: str, adapter: str
) -> None:
    config = f"{{file_path: {tmp_path}, {adapter[1:]}"
    text = f"workers: [{{name: {block}, config: {{adapter: {{name: kv, config: {config}}}}}}}]"
    assert load(text).warnings == ()
    (tmp_path / "orders.bin").write_bytes(b'{"a":1}\xff')
    [warning] = load(text).warnings
    assert warning.startswith(f"{block}: {tmp_path} holds data of iii's own engine (1 `.bin`)")
    (tmp_path / f"bridge-{block.removeprefix('iii-')}.sqlite3").touch()
    assert load(text).warnings == ()


def test_a_value_limit_of_zero_is_no_limit(load: Build) -> None:
    text = "workers: [{name: iii-state, config: {max_value_bytes: %d}}]"
    assert load(text % 0).state.max_value_bytes is None
    assert load(text % 10).state.max_value_bytes == 10


@pytest.mark.parametrize(
    ("address", "ui_url"),
    [
        ("127.0.0.1:7233", "http://127.0.0.1:8233"),
        ("localhost:7233", "http://127.0.0.1:8233"),
        ("[::1]:7233", "http://127.0.0.1:8233"),
        ("shop.a1b2c.tmprl.cloud:7233", "https://cloud.temporal.io"),
        ("eu-west-1.aws.api.temporal.io:7233", "https://cloud.temporal.io"),
        ("temporal:7233", None),
    ],
)
def test_the_web_ui_is_derived_from_the_address_where_it_can_be(address: str, ui_url: str | None) -> None:
    assert TemporalBlock(address=address).ui_url == ui_url
    assert TemporalBlock(address=address, ui_url="http://ui:8080").ui_url == "http://ui:8080"


@pytest.mark.parametrize(
    "address", ["", "temporal", "temporal:", ":7233", "temporal:0", "temporal:65536", "a b:1", "::1:7233"]
)
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValidationError, match="host:port"):
        TemporalBlock(address=address)


def test_blocks_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        QueueConfig().max_retries = 1


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[{name: iii-bridge}]", "`iii-bridge` is not served by iii-temporal; the block has no effect"),
        ("[{name: iii-sandbox}]", "`iii-sandbox` is not served by iii-temporal; the block has no effect"),
        ("[{name: iii-htpp}]", "`iii-htpp` is not served by iii-temporal; did you mean `iii-http`?"),
        (
            "[{class: 'modules::cron::Cron'}]",
            "`modules::cron::Cron` is not served by iii-temporal; did you mean `modules::cron::CronModule`?",
        ),
        (
            "[{name: mailer, image: x}, {name: mailer}]",
            "`mailer` is not served by iii-temporal; the block has no effect",
        ),
        (
            "[{name: iii-cron, confg: {}}]",
            "iii-cron: key `confg` beside `name` has no effect; did you mean `config`?",
        ),
        (
            "[{name: iii-queue, config: {adapter: {name: rabbitmq, config: {queue_mode: fifo}}}}]",
            "iii-queue: adapter `rabbitmq` has no effect, queues live in Temporal; remove the adapter",
        ),
        (
            "[{name: iii-cron, config: {adapter: {name: redis}}}]",
            "iii-cron: adapter `redis` has no effect, schedules live in Temporal; remove the adapter",
        ),
        (
            "[{name: iii-queue, config: {queue_configs: {a: {message_group_field: g}}}}]",
            (
                "queue 'a': `message_group_field` has no effect on a standard queue;"
                " add `type: fifo` to keep the order of each group"
            ),
        ),
        (
            "[{name: iii-queue, config: {queue_configs: {a: {max_priority: 9}}}}]",
            (
                "queue 'a': `max_priority` has no effect without `priority_field`;"
                " name the payload key that has the priority"
            ),
        ),
        (
            "[{name: iii-queue, config: {queue_configs: {a: {dedupe_window_ms: 9}}}}]",
            (
                "queue 'a': `dedupe_window_ms` has no effect without `dedupe_field`;"
                " name the payload key that tells duplicates"
            ),
        ),
        (
            "[{name: iii-http, config: {concurrency_request_limit: 0}}]",
            "iii-http: `concurrency_request_limit` 0 means 1; write the number you want",
        ),
        (
            "[{name: iii-http, config: {cors: {allowed_origins: ['*', 'http://a']}}}]",
            "iii-http: `*` in `cors.allowed_origins` allows any origin; remove it or the others",
        ),
        (
            "[{name: iii-worker-manager, config: {host: 127.example.com}}]",
            (
                "iii-worker-manager: whoever reaches 127.example.com port 49134 may call and register"
                " everything; set `tokens` or `rbac`, or let only trusted machines reach it"
            ),
        ),
    ],
)
def test_what_has_no_effect_is_said_once(load: Build, text: str, warning: str) -> None:
    assert load(f"workers: {text}").warnings == (warning,)


@pytest.mark.parametrize(
    "config",
    ["{host: localhost}", "{host: '::1'}", "{host: 0.0.0.0, rbac: {}}", "{host: 0.0.0.0, tokens: [s3cret]}"],
)
def test_a_port_that_nobody_else_reaches_or_that_asks_who_comes_needs_no_warning(
    load: Build, config: str
) -> None:
    assert load(f"workers: [{{name: iii-worker-manager, config: {config}}}]").warnings == ()


def test_a_request_limit_of_zero_is_one(load: Build) -> None:
    assert (
        load(
            "workers: [{name: iii-http, config: {concurrency_request_limit: 0}}]"
        ).http.concurrency_request_limit
        == 1
    )


def test_workers_of_every_engine_are_accepted_in_silence(load: Build) -> None:
    text = "workers: [{name: iii-telemetry, config: {enabled: false, sdk: x}}, {name: iii-engine-functions}]"
    assert load(text).warnings == ()
