"""`iii-temporal check`: what it prints, and its exit codes."""

import importlib.metadata
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.cli.mapping import describe
from bridge.config import RedisAdapter, StateBlock, load_config
from bridge.errors import StorageError


@pytest.fixture(autouse=True)
def _in_an_empty_directory_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if "TEMPORAL_" in name]:
        monkeypatch.delenv(name)


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def check(text: str, *arguments: str, **environ: str) -> Result:
    Path("iii-config.yaml").write_text(text)
    return run("check", *arguments, **environ)


def test_a_valid_file_is_explained_in_terms_of_temporal() -> None:
    result = check(
        """
        workers:
          - name: iii-temporal
            config: {prefix: shop}
          - name: iii-state
          - name: iii-cron
          - name: iii-queue
            config:
              queue_configs:
                pay:
                  type: fifo
                  message_group_field: order_id
                  max_retries: 6
                  concurrency: 2
                  timeout_ms: 90000
                once:
                  max_retries: 0
                  dlq: {capacity: 10, alert_function_id: ops::page}
        """
    )
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "iii-config.yaml is valid."
    assert (
        "pay task queue shop.q.pay; in order per order_id (lane shop.fifo/pay/<group>), 2 groups at once;"
        " 6 attempts of at most 90 s, waiting 1 s, 2 s, 4 s, 8 s, …; then dead letter shop.dlq/pay/<receipt>"
    ) in lines
    assert (
        "once task queue shop.q.once; any order, 10 at once; 1 attempt of at most 30 min;"
        " then dead letter shop.dlq/once/<receipt>, too many from 8 on, which calls ops::page"
    ) in lines
    assert any(line.startswith("default task queue shop.q.default;") for line in lines)
    assert "cron one Schedule shop.cron/<function id>/<digest> per trigger" in lines
    assert "iii-state kv: in SQLite file data/state/bridge-state.sqlite3" in lines
    assert "iii-cron kv: schedules are in Temporal" in lines
    assert not any(line.startswith("http ") for line in lines)


def test_without_a_file_the_built_in_configuration_is_explained_with_a_warning() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("The built-in configuration is valid.\n")
    assert result.stderr.startswith("warning: no iii-config.yaml or config.yaml in ")
    for trigger_type in ("http", "cron", "state", "stream", "subscribe", "durable:subscriber"):
        assert f"\n  {trigger_type}" in result.stdout


def test_an_api_key_turns_tls_on_and_is_not_printed() -> None:
    result = check("workers: []", III_TEMPORAL_API_KEY="hunter2")
    assert "127.0.0.1:7233, TLS" in result.stdout
    assert "hunter2" not in result.output


def test_the_password_of_a_store_is_not_printed() -> None:
    store = RedisAdapter.model_validate(
        {"name": "redis", "config": {"redis_url": "redis://me:secret@redis:6379"}}
    )
    config = replace(load_config(None, environ={}), state=StateBlock(adapter=store))
    assert "  iii-state   redis: redis://***@redis:6379" in list(describe(config))


def test_a_listener_with_rules_is_shown_as_such() -> None:
    result = check("workers: [{name: iii-worker-manager, config: {rbac: {}}}]")
    assert result.exit_code == 0
    assert "ws://127.0.0.1:49134, with rbac" in result.stdout


def test_tokens_are_counted_and_not_printed() -> None:
    text = "workers: [{name: iii-worker-manager, config: {tokens: ['${III_TOKEN}', other]}}]"
    result = check(text, III_TOKEN="s3cret")
    assert "ws://127.0.0.1:49134, for 2 bearer tokens" in result.stdout
    assert "s3cret" not in result.output


def test_every_problem_is_printed_to_stderr_with_cause_and_remedy() -> None:
    result = check("workers:\n  - name: iii-http\n    config: {prot: 1, host: 5}\n")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "error[config_error]: iii-http: `host` has the wrong type\n"
        "  where: iii-config.yaml:3 workers[0].config.host\n"
        "  found: 5\n"
        "  allowed: a host name or an IP address to listen on\n"
        "error[config_error]: iii-http: unknown key `prot`\n"
        "  where: iii-config.yaml:3 workers[0].config.prot\n"
        "  found: prot\n"
        "  allowed: port, host, default_timeout, concurrency_request_limit, cors, middleware, "
        "body_limit_bytes, head_limit_bytes, head_timeout_ms, write_timeout_ms, keep_alive_timeout_s, "
        "max_connections, channel_bytes, openapi_path, docs_path, tls, "
        "tokens\n"
        "  remedy: did you mean `port`?\n"
    )


def test_a_missing_file_is_an_error() -> None:
    result = run("check", "--config", "absent.yaml")
    assert result.exit_code == 2
    assert "Config file not found: 'absent.yaml'" in result.stderr


def test_the_file_can_be_named_by_flag_and_by_variable() -> None:
    Path("a.yaml").write_text("workers: []")
    Path("b.yaml").write_text("workers: []")
    assert run("check", III_TEMPORAL_CONFIG="a.yaml").stdout.startswith("a.yaml is valid.")
    assert run("check", "-c", "b.yaml", III_TEMPORAL_CONFIG="a.yaml").stdout.startswith("b.yaml is valid.")


def test_flags_beat_the_environment_which_beats_the_file() -> None:
    text = "workers: [{name: iii-temporal, config: {address: 'file:1', namespace: file}}]"
    environ = {"III_TEMPORAL_ADDRESS": "environment:2", "III_TEMPORAL_NAMESPACE": "environment"}
    assert "file:1" in check(text).stdout
    assert "environment:2" in check(text, **environ).stdout
    flags = ("--temporal-address", "flag:3", "--temporal-namespace", "flag")
    output = check(text, *flags, **environ).stdout
    assert "flag:3" in output
    assert "environment" not in output


def test_a_wrong_argument_exits_with_2() -> None:
    assert run("check", "--nonsense").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_what_fails_while_running_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("bridge.cli.check.load_from", fail)
    result = run("check")
    assert result.exit_code == 1
    assert result.stderr == "error[storage_error]: the disk is full\n"


def test_help_lists_every_command_with_examples() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "Validate the configuration" in result.stdout
    assert "Examples:" in result.stdout
    assert "iii-temporal check" in result.stdout


def test_version_is_the_bare_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"iii-temporal": "1.2.3"}.__getitem__)
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, "1.2.3\n")


def test_mapped_namespaces_are_explained() -> None:
    result = check(
        """
        workers:
          - name: iii-temporal
            config:
              namespaces:
                - { namespace: team-orders, iii: [orders, refunds] }
                - { namespace: audit.a1b2c, iii: [audit], address: "audit.a1b2c.tmprl.cloud:7233", tls: {} }
        """
    )
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    orders = lines.index("iii namespaces orders, refunds: kept apart")
    assert lines[orders + 1 : orders + 3] == ["address 127.0.0.1:7233, no TLS", "namespace team-orders"]
    audit = lines.index("iii namespaces audit: kept apart")
    assert lines[audit + 1 : audit + 4] == [
        "address audit.a1b2c.tmprl.cloud:7233, TLS",
        "namespace audit.a1b2c",
        "Web UI https://cloud.temporal.io",
    ]
