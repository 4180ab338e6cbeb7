"""Certificates that cannot be used are found before anything starts, and named with their key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.config import BridgeConfig, InvalidConfigError, Problem, load_config
from tests.support.pki import Authority

CONFIG = "workers[0].config"
Load = Callable[..., BridgeConfig]
Reject = Callable[..., list[Problem]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a configuration of one block."""

    def from_block(name: str, **config: Any) -> BridgeConfig:
        path = tmp_path / "iii-config.yaml"
        path.write_text(json.dumps({"workers": [{"name": name, "config": config}]}))
        return load_config(path, environ={})

    return from_block


@pytest.fixture
def reject(load: Load) -> Reject:
    """Load one that has problems, and return them."""

    def from_block(name: str, **config: Any) -> list[Problem]:
        with pytest.raises(InvalidConfigError) as caught:
            load(name, **config)
        return list(caught.value.problems)

    return from_block


def test_a_pair_that_fits_is_accepted(load: Load, authority: Authority) -> None:
    tls = {**authority.sign().config, "client_ca_file": str(authority.file)}
    http = load("iii-http", tls=tls).http
    assert http is not None
    assert http.tls is not None


def test_a_missing_file(reject: Reject, authority: Authority) -> None:
    tls = {**authority.sign().config, "cert_file": "/nowhere.pem"}
    (problem,) = reject("iii-stream", tls=tls)
    assert problem.key_path == f"{CONFIG}.tls.cert_file"
    assert problem.found == '"/nowhere.pem"'


def test_a_certificate_without_a_key(reject: Reject, authority: Authority) -> None:
    tls = {"cert_file": str(authority.sign().cert_file)}
    (problem,) = reject("iii-worker-manager", tls=tls)
    assert "`key_file` is missing" in problem.what


def test_the_key_of_another_certificate(reject: Reject, authority: Authority) -> None:
    tls = {**authority.sign().config, "key_file": str(authority.sign("other").key_file)}
    (problem,) = reject("iii-http", tls=tls)
    assert problem.key_path == f"{CONFIG}.tls.key_file"
    assert "KEY_VALUES_MISMATCH" in problem.what
    assert "its own key" in str(problem.remedy)


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(reject: Reject, authority: Authority) -> None:
    tls = authority.sign(passphrase=b"open sesame").config
    (problem,) = reject("iii-http", tls=tls)
    assert "without a passphrase" in str(problem.remedy)


def test_a_file_that_holds_no_certificates(reject: Reject, authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    tls = {**authority.sign().config, "client_ca_file": str(empty)}
    (problem,) = reject("iii-temporal", admin={"tls": tls})
    assert problem.key_path == f"{CONFIG}.admin.tls.client_ca_file"
    assert "cannot be used" in problem.what
