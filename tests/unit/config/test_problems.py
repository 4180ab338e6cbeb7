"""What is refused, and how it is told: file, line, key path, what was found, what is allowed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.config import InvalidConfigError, load_config

Build = Callable[..., Any]


def block(name: str, config: str) -> str:
    return f"workers: [{{name: {name}, config: {config}}}]"


def queue(config: str) -> str:
    return block("iii-queue", f"{{queue_configs: {{pay: {config}}}}}")


CONFIG = "workers[0].config"
PAY = f"{CONFIG}.queue_configs.pay"

# text of the file; problem; key path; found; allowed or remedy, as far as it matters
CASES = {
    "top level is a list": ("[]", "the file is not a mapping", None, "[]", "workers: […]"),
    "unknown top-level key": (
        "wrkers: []",
        "unknown key `wrkers`",
        "wrkers",
        "wrkers",
        "did you mean `workers`?",
    ),
    "workers without value": ("workers:", "`workers` is not a list", "workers", "null", "a list of blocks"),
    "port out of range": ("port: 70000", "`port` is wrong", "port", "70000", "an integer from 0 to 65535"),
    "port as text": ("port: '1'", "`port` is wrong", "port", '"1"', "an integer from 0 to 65535"),
    "entry is text": (
        "workers: [iii-http]",
        "a block is not a mapping",
        "workers[0]",
        '"iii-http"',
        "- name: …",
    ),
    "entry without name": (
        "modules: [{config: {}}]",
        "a block needs either `name` or `class`",
        "modules[0]",
        "neither",
        "name: iii-",
    ),
    "entry with name and class": (
        "modules: [{name: iii-cron, class: modules::cron::CronModule}]",
        "a block needs either `name` or `class`",
        "modules[0]",
        '{"name":"iii-cron","class":"modules::cron::CronModule"}',
        "class: modules::",
    ),
    "config is a list": (
        block("iii-http", "[]"),
        "iii-http: `config` is not a mapping",
        CONFIG,
        "[]",
        "a mapping",
    ),
    "unknown key": (
        block("iii-http", "{prot: 1}"),
        "iii-http: unknown key `prot`",
        f"{CONFIG}.prot",
        "prot",
        "did you mean `port`?",
    ),
    "default mapped": (
        block("iii-temporal", "{namespaces: [{namespace: team, iii: [default]}]}"),
        "iii-temporal: `default` of iii is kept in the bridge's own namespace of Temporal",
        f"{CONFIG}.namespaces[0].iii",
        '["default"]',
        "remove it here",
    ),
    "namespace of iii mapped twice": (
        block("iii-temporal", "{namespaces: [{namespace: a, iii: [x]}, {namespace: b, iii: [y, x]}]}"),
        "iii-temporal: the namespace 'x' of iii is mapped twice",
        f"{CONFIG}.namespaces",
        '[{"namespace":"a","iii":["x"]},{"namespace":"b","iii":["y","x"]}]',
        "keep one of the two",
    ),
    "namespace of Temporal named twice": (
        block("iii-temporal", "{namespace: shop, namespaces: [{namespace: shop, iii: [x]}]}"),
        "iii-temporal: the namespace 'shop' of Temporal is named twice",
        f"{CONFIG}.namespaces",
        '[{"namespace":"shop","iii":["x"]}]',
        "with all its `iii`",
    ),
    "unknown nested key": (
        block("iii-http", "{cors: {origins: []}}"),
        "iii-http: unknown key `origins`",
        f"{CONFIG}.cors.origins",
        "origins",
        "allowed_origins, allowed_methods",
    ),
    "key that only iii's old docs know": (
        block("iii-http", "{trust_proxy: true}"),
        "iii-http: unknown key `trust_proxy`",
        f"{CONFIG}.trust_proxy",
        "trust_proxy",
        "port, host, default_timeout",
    ),
    "wrong type": (
        block("iii-http", "{default_timeout: soon}"),
        "iii-http: `default_timeout` has the wrong type",
        f"{CONFIG}.default_timeout",
        '"soon"',
        "an integer from 1 to",
    ),
    "boolean for a number": (
        block("iii-stream", "{port: true}"),
        "iii-stream: `port` has the wrong type",
        f"{CONFIG}.port",
        "true",
        "an integer from 0 to 65535",
    ),
    "number for text": (
        block("iii-stream", "{host: 5}"),
        "iii-stream: `host` has the wrong type",
        f"{CONFIG}.host",
        "5",
        "a host name or an IP address",
    ),
    "empty text": (
        block("iii-stream", "{host: ''}"),
        "iii-stream: `host` is empty",
        f"{CONFIG}.host",
        '""',
        "host name",
    ),
    "out of range": (
        block("iii-stream", "{port: -1}"),
        "iii-stream: `port` is out of range",
        f"{CONFIG}.port",
        "-1",
        "an integer from 0 to 65535",
    ),
    "in a list": (
        block("iii-http", "{middleware: [{function_id: a}, {phase: preHandler}]}"),
        "iii-http: `function_id` is missing",
        f"{CONFIG}.middleware[1].function_id",
        "nothing",
        "text, not empty",
    ),
    "unserved middleware phase": (
        block("iii-http", "{middleware: [{function_id: a, phase: onError}]}"),
        "iii-http: invalid phase \"onError\". Must be 'preHandler'",
        f"{CONFIG}.middleware[0].phase",
        '"onError"',
        "preHandler",
    ),
    "missing block": (
        "workers: [{name: iii-exec}]",
        "iii-exec: `exec` is missing",
        f"{CONFIG}.exec",
        "nothing",
        "a list of text",
    ),
    "unknown adapter": (
        block("iii-state", "{adapter: {name: rediss}}"),
        "iii-state: adapter `rediss` is not available",
        f"{CONFIG}.adapter.name",
        "rediss",
        "did you mean `redis`?",
    ),
    "adapter we do not have": (
        block("iii-stream", "{adapter: {name: bridge}}"),
        "iii-stream: adapter `bridge` is not available",
        f"{CONFIG}.adapter.name",
        "bridge",
        "kv, redis",
    ),
    "adapter class we do not have": (
        block("iii-stream", "{adapter: {class: 'modules::stream::adapters::Bridge'}}"),
        "iii-stream: adapter `modules::stream::adapters::Bridge` is not available",
        f"{CONFIG}.adapter.class",
        "modules::stream::adapters::Bridge",
        "modules::stream::adapters::KvStore, modules::stream::adapters::RedisAdapter",
    ),
    "adapter class of another worker": (
        block("iii-state", "{adapter: {class: 'modules::queue::RedisAdapter'}}"),
        "iii-state: adapter `modules::queue::RedisAdapter` is not available",
        f"{CONFIG}.adapter.class",
        "modules::queue::RedisAdapter",
        "modules::state::adapters::RedisAdapter",
    ),
    "adapter without name": (
        block("iii-state", "{adapter: {config: {}}}"),
        "iii-state: `adapter` has no `name`",
        f"{CONFIG}.adapter.name",
        '{"config":{}}',
        "kv, redis",
    ),
    "unknown key of an adapter": (
        block("iii-state", "{adapter: {name: kv, config: {path: x}}}"),
        "iii-state: unknown key `path`",
        f"{CONFIG}.adapter.config.path",
        "path",
        "store_method, file_path, save_interval_ms",
    ),
    "key of another adapter": (
        block("iii-cron", "{adapter: {name: redis, config: {lock_ttl_ms: 5}}}"),
        "iii-cron: unknown key `lock_ttl_ms`",
        f"{CONFIG}.adapter.config.lock_ttl_ms",
        "lock_ttl_ms",
        "redis_url",
    ),
    "unknown store method": (
        block("iii-state", "{adapter: {name: kv, config: {store_method: file}}}"),
        "iii-state: invalid store_method \"file\". Must be 'in_memory' or 'file_based'",
        f"{CONFIG}.adapter.config.store_method",
        '"file"',
        "in_memory, file_based",
    ),
    "a URL with a password": (
        block("iii-state", "{adapter: {name: redis, config: {redis_url: 'http://me:secret@redis'}}}"),
        "iii-state: `redis_url` does not have the right form",
        f"{CONFIG}.adapter.config.redis_url",
        '"http://***@redis"',
        "redis://host:port[/database]",
    ),
    "bad rule": (
        block("iii-worker-manager", "{rbac: {expose_functions: ['api::*']}}"),
        'iii-worker-manager: expected match("pattern"), got: api::*',
        f"{CONFIG}.rbac.expose_functions[0]",
        '"api::*"',
        'match("pattern")',
    ),
    "rule with both kinds": (
        block("iii-worker-manager", "{rbac: {expose_functions: [{match: a, metadata: {b: c}}]}}"),
        "iii-worker-manager: a rule needs either `match` or `metadata`",
        f"{CONFIG}.rbac.expose_functions[0].metadata",
        '{"b":"c"}',
        "exactly one",
    ),
    "rule with neither kind": (
        block("iii-worker-manager", "{rbac: {expose_functions: [{namespace: a}]}}"),
        "iii-worker-manager: a rule needs either `match` or `metadata`",
        f"{CONFIG}.rbac.expose_functions[0].metadata",
        "nothing",
        "exactly one",
    ),
    "misspelt access rule": (
        block("iii-worker-manager", "{rbac: {auth_function: a}}"),
        "iii-worker-manager: unknown key `auth_function`",
        f"{CONFIG}.rbac.auth_function",
        "auth_function",
        "did you mean `auth_function_id`?",
    ),
    "bad glob": (
        block("iii-http-functions", "{security: {url_allowlist: ['[a-']}}"),
        "iii-http-functions: `[a-` is not a glob: `[` is not closed",
        f"{CONFIG}.security.url_allowlist",
        '["[a-"]',
        "a list of text",
    ),
    "alert without action": (
        block("iii-observability", "{alerts: [{name: a, metric: m, threshold: 1, operator: '>'}]}"),
        "iii-observability: `action` is missing",
        f"{CONFIG}.alerts[0].action",
        "nothing",
        "a mapping",
    ),
    "alert with unknown action": (
        block(
            "iii-observability",
            "{alerts: [{name: a, metric: m, threshold: 1, operator: '>', action: {type: mail}}]}",
        ),
        "iii-observability: action `mail` is not available",
        f"{CONFIG}.alerts[0].action.type",
        "mail",
        "log, webhook, function",
    ),
    "image on a built-in worker": (
        "workers: [{name: iii-http, image: x}]",
        "iii-http is a built-in worker and takes no `image`",
        "workers[0].image",
        None,
        "remove `image`",
    ),
    "block listed twice": (
        "{workers: [{name: iii-http}], modules: [{class: 'modules::api::RestApiModule'}]}",
        "modules::api::RestApiModule: the block is listed twice",
        "modules[0]",
        "the first one is workers[0]",
        "merge the two",
    ),
    "port given twice": (
        "{port: 5001, workers: [{name: iii-worker-manager, config: {port: 5002}}]}",
        "the port of the worker listener is given twice",
        "port",
        "5001 here, 5002 in iii-worker-manager",
        "remove the top-level `port`",
    ),
    "one address for two": (
        block("iii-http", "{port: 49134, host: 0.0.0.0}"),
        "iii-worker-manager: address 127.0.0.1:49134 is already in use by iii-http",
        "iii-worker-manager",
        "49134",
        "another port",
    ),
    "one file for state and streams": (
        """
        workers:
          - {name: iii-state, config: {adapter: {name: kv, config: {file_path: a.sqlite3}}}}
          - name: iii-stream
            config: {adapter: {name: kv, config: {store_method: file_based, file_path: ./a.sqlite3}}}
        """,
        "iii-stream: cannot share a file with iii-state",
        "workers[1].config",
        "a.sqlite3",
        "its own `file_path`",
    ),
    "queue type": (
        queue("{type: lifo}"),
        "queue 'pay': invalid type \"lifo\". Must be 'standard' or 'fifo'",
        f"{PAY}.type",
        '"lifo"',
        "standard, fifo",
    ),
    "fifo without group": (
        queue("{type: fifo}"),
        "queue 'pay': fifo needs `message_group_field`",
        f"{PAY}.message_group_field",
        "nothing",
        "`order_id`",
    ),
    "groups to hold without groups": (
        queue("{on_dead_letter: block}"),
        "queue 'pay': `on_dead_letter: block` needs `type: fifo`",
        f"{PAY}.on_dead_letter",
        '"block"',
        "remove the key",
    ),
    "alert about no capacity": (
        queue("{dlq: {alert_function_id: a::b}}"),
        "queue 'pay': an alert needs `capacity`",
        f"{PAY}.dlq.alert_function_id",
        '"a::b"',
        "how many dead letters",
    ),
    "no concurrency": (
        queue("{concurrency: 0}"),
        "queue 'pay': `concurrency` is out of range",
        f"{PAY}.concurrency",
        "0",
        "an integer from 1 to",
    ),
    "no priority": (
        queue("{max_priority: 0}"),
        "queue 'pay': `max_priority` is out of range",
        f"{PAY}.max_priority",
        "0",
        "an integer from 1 to 255",
    ),
    "old key that never existed": (
        queue("{backoff_multiplier: 2}"),
        "queue 'pay': unknown key `backoff_multiplier`",
        f"{PAY}.backoff_multiplier",
        "backoff_multiplier",
        "max_retries, concurrency, type",
    ),
    "negative retries": (
        queue("{max_retries: -1}"),
        "queue 'pay': `max_retries` is out of range",
        f"{PAY}.max_retries",
        "-1",
        "an integer from 0 to",
    ),
    "no rate": (
        queue("{rate_per_s: 0}"),
        "queue 'pay': `rate_per_s` is out of range",
        f"{PAY}.rate_per_s",
        "0",
        "a number above 0 up to 100000",
    ),
    "longest backoff below the first": (
        queue("{backoff_ms: 5000, max_backoff_ms: 1000}"),
        "queue 'pay': `max_backoff_ms` is shorter than `backoff_ms`",
        f"{PAY}.max_backoff_ms",
        "1000",
        "give at least 5000",
    ),
    "queues as a list": (
        block("iii-queue", "{queue_configs: [{name: pay}]}"),
        "iii-queue: `queue_configs` has the wrong type",
        f"{CONFIG}.queue_configs",
        '[{"name":"pay"}]',
        "a mapping",
    ),
    "queue without keys": (queue(""), "queue 'pay': `pay` has the wrong type", PAY, "null", "a mapping"),
    "queue without a name": (
        block("iii-queue", "{queue_configs: {'': {}}}"),
        "queue '': the name of a queue has 1 to 200 bytes",
        f'{CONFIG}.queue_configs.""',
        '""',
        "rename",
    ),
    "address with a scheme": (
        block("iii-temporal", "{address: 'http://temporal:7233'}"),
        "iii-temporal: `address` is not `host:port`",
        f"{CONFIG}.address",
        '"http://temporal:7233"',
        "host:port without a scheme",
    ),
    "secret of the wrong type": (
        block("iii-temporal", "{api_key: 12345}"),
        "iii-temporal: `api_key` has the wrong type",
        f"{CONFIG}.api_key",
        "(hidden)",
        "text",
    ),
    "prefix that cannot be part of an id": (
        block("iii-temporal", "{prefix: a/b}"),
        "iii-temporal: `prefix` does not have the right form",
        f"{CONFIG}.prefix",
        '"a/b"',
        "letters, digits",
    ),
    "certificate that does not exist": (
        block("iii-temporal", "{tls: {ca_file: /does/not/exist.pem}}"),
        "iii-temporal: `ca_file` does not name a file",
        f"{CONFIG}.tls.ca_file",
        '"/does/not/exist.pem"',
        "the path of a file that exists",
    ),
    "certificate without key": (
        block("iii-temporal", f"{{tls: {{cert_file: {__file__}}}}}"),
        "iii-temporal: `cert_file` and `key_file` go together",
        f"{CONFIG}.tls.key_file",
        "nothing",
        "both or neither",
    ),
}


@pytest.mark.parametrize(("text", "what", "key_path", "found", "help_text"), CASES.values(), ids=CASES)
def test_a_problem_tells_what_where_found_and_allowed(
    reject: Build,
    config_file: Path,
    text: str,
    what: str,
    key_path: str | None,
    found: str | None,
    help_text: str,
) -> None:
    (problem,) = reject(text)
    assert problem.what == what
    assert problem.key_path == key_path
    assert problem.found == found
    assert help_text in f"{problem.allowed}\n{problem.remedy}"
    assert problem.source == str(config_file)


def test_all_problems_are_reported_at_once_with_their_lines(reject: Build) -> None:
    problems = reject(
        """\
        prot: 1
        workers:
          - name: iii-queue
            config:
              queue_configs:
                pay:
                  type: fifo
                  concurrency: 0
                  dlq: {capcity: 1}
                "a.b":
                  max_priority: 256
          - name: iii-http
            config:
              port: http
        """
    )
    assert [(problem.line, problem.key_path) for problem in problems] == [
        (1, "prot"),
        (8, f"{PAY}.concurrency"),
        (6, f"{PAY}.message_group_field"),
        (9, f"{PAY}.dlq.capcity"),
        (11, f'{CONFIG}.queue_configs."a.b".max_priority'),
        (14, "workers[1].config.port"),
    ]


@pytest.mark.parametrize("short", ["http", "state", "queue", "pubsub", "cron"])
def test_the_old_and_the_new_name_of_a_block_together_are_a_duplicate(reject: Build, short: str) -> None:
    (problem,) = reject(f"workers: [{{name: iii-{short}}}, {{name: {short}}}]")
    assert problem.what.startswith(
        f"Duplicate worker configurations: `iii-{short}` is the deprecated name of `{short}`"
    )
    assert problem.remedy == f"remove `- name: iii-{short}`"


def test_text_that_is_not_yaml_is_a_problem_with_its_line(reject: Build, config_file: Path) -> None:
    (problem,) = reject("workers:\n  - name: [\n")
    assert problem.what.startswith(f"Failed to parse config file '{config_file}': ")
    assert problem.line == 3


def test_what_yaml_allows_and_a_configuration_does_not_is_a_problem(reject: Build) -> None:
    assert [problem.what for problem in reject("workers: []\nworkers: []\n")] == ["`workers` is given twice"]


def test_a_missing_file_is_named_with_the_way_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    with pytest.raises(InvalidConfigError) as caught:
        load_config(path, environ={})
    (problem,) = caught.value.problems
    assert problem.what == f"Config file not found: '{path}'"
    assert f"echo 'workers: []' > {path}" in str(problem.remedy)


@pytest.mark.parametrize(
    "make", [Path.mkdir, lambda path: path.write_bytes(b"\xff")], ids=["directory", "not UTF-8"]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "iii-config.yaml"
    make(path)
    with pytest.raises(InvalidConfigError, match=f"Config file '{path}' cannot be read"):
        load_config(path, environ={})


def test_long_values_are_cut(reject: Build) -> None:
    (problem,) = reject(block("iii-stream", f"{{port: {'x' * 200}}}"))
    assert len(problem.found) == 80
    assert problem.found.endswith("…")


@pytest.mark.parametrize("listing", ["iii-worker-manager", "iii-http", "iii-stream"])
@pytest.mark.parametrize(
    ("tokens", "key_path"),
    [
        ("[]", "tokens"),
        ("s3cret", "tokens"),
        ("['']", "tokens[0]"),
        ("['s3cret one']", "tokens[0]"),
        ("[good, 473829]", "tokens[1]"),
        ("[[s3cret]]", "tokens[0]"),
        ("${NO_TOKEN:}", "tokens"),
    ],
)
def test_tokens_that_would_let_everyone_or_nobody_in_are_refused_and_not_shown(
    reject: Callable[..., list[Any]], listing: str, tokens: str, key_path: str
) -> None:
    (problem,) = reject(block(listing, f"{{tokens: {tokens}}}"))
    assert problem.key_path == f"{CONFIG}.{key_path}"
    assert "s3cret" not in str(problem)
    assert "473829" not in str(problem)


def test_an_unset_variable_is_no_token(reject: Callable[..., list[Any]]) -> None:
    (problem,) = reject(block("iii-worker-manager", "{tokens: ['${III_TOKEN:}']}"))
    assert "a token is empty" in problem.what
