"""Where large payloads are said to be (docs/payloads.md)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.mapping import describe
from bridge.config import BridgeConfig
from bridge.settings import payload_settings

Build = Callable[..., Any]


def storage(block: str) -> str:
    return f"workers: [{{name: iii-temporal, config: {{payloads: {{storage: {block}}}}}}}]"


def described(config: BridgeConfig) -> str:
    """Return what `iii-temporal check` says of large payloads."""
    (line,) = [line for line in describe(config) if "large payloads" in line]
    return " ".join(line.split())


@pytest.mark.parametrize(
    ("block", "what", "remedy"),
    [
        ("{}", "no place for large payloads", "give a `directory`, or a bucket in `s3`"),
        ("{directory: d, s3: {bucket: b}}", "nothing says where new payloads go", "set `write_to`"),
        ("{directory: d, write_to: s3}", "there is no `s3` to write to", "write to: directory"),
        ("{s3: {bucket: b, access_key_id: a}}", "belong together", "give both, or neither"),
        ("{s3: {bucket: b, secret_access_key: hunter2}}", "belong together", "give both, or neither"),
        (
            "{s3: {bucket: b, access_key_id: a, secret_access_key: hunter2, profile: p}}",
            "`profile` does not go with `access_key_id`",
            "or a `profile`",
        ),
        ("{s3: {bucket: b, session_token: hunter2}}", "needs `access_key_id`", "if they are temporary"),
    ],
)
def test_a_contradiction_is_a_problem_with_a_remedy(
    reject: Build, block: str, what: str, remedy: str
) -> None:
    (problem,) = reject(storage(block))
    assert what in str(problem)
    assert remedy in str(problem)
    assert "hunter2" not in str(problem)


def test_a_bucket_without_its_packages_says_what_to_install(
    reject: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.config.blocks.payloads.find_spec", lambda _: None)
    (problem,) = reject(storage("{s3: {bucket: b}}"))
    assert "pip install 'iii-temporal[s3]'" in str(problem)


def test_an_endpoint_that_is_no_url_is_refused(reject: Build) -> None:
    (problem,) = reject(storage("{s3: {bucket: b, endpoint_url: 127.0.0.1:9000}}"))
    assert problem.key_path is not None
    assert problem.key_path.endswith("endpoint_url")


def test_the_bucket_gets_its_keys_and_is_heard_of_before_an_enqueue_is_over(load: Build) -> None:
    keys = "access_key_id: ${KEY}, secret_access_key: ${SECRET}"
    block = f"{{s3: {{bucket: b, region: r, endpoint_url: 'https://s3.example', {keys}}}}}"
    config = load(storage(block), {"KEY": "a", "SECRET": "hunter2"})
    store = payload_settings(config.temporal).store
    assert store is not None
    assert store.writes_to == "s3"
    assert store.bucket is not None
    assert (store.bucket.access_key_id, store.bucket.secret_access_key) == ("a", "hunter2")
    assert store.bucket.upload_timeout_s < config.temporal.enqueue_timeout_ms / 1000
    assert "hunter2" not in repr(store)


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("{directory: /mnt/x}", "large payloads from 262144 to 16777216 bytes in the directory /mnt/x"),
        (
            "{s3: {bucket: b, endpoint_url: 'http://s3:9000'}, from_bytes: 1024}",
            "large payloads from 1024 to 16777216 bytes in the bucket b at http://s3:9000",
        ),
        (
            "{directory: /d, s3: {bucket: b}, write_to: s3}",
            "large payloads from 262144 to 16777216 bytes in the bucket b, and read from the directory /d",
        ),
    ],
)
def test_the_check_shows_where_they_go(load: Build, block: str, line: str) -> None:
    assert described(load(storage(block))) == line


def test_the_check_shows_what_is_refused_without_a_place(load: Build) -> None:
    assert "refused over 1933312 bytes" in described(load("workers: []"))


def test_a_directory_alone_is_written_to(load: Build, tmp_path: Path) -> None:
    store = payload_settings(load(storage(f"{{directory: {tmp_path}}}")).temporal).store
    assert store is not None
    assert (store.writes_to, store.directory, store.bucket) == ("directory", tmp_path, None)
