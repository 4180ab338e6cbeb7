"""Profiles of Temporal's own tools give what nobody else gives (docs/connecting.md)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Build = Callable[..., Any]

PROFILES = """
[profile.default]
address = "default:1"

[profile.cloud]
address = "eu-west-1.aws.api.temporal.io:7233"
namespace = "shop.a1b2c"
api_key = "hunter2"
[profile.cloud.grpc_meta]
Tenant_Of = "shop"

[profile.certificates.tls]
server_name = "temporal.example"
client_cert_data = "CERTIFICATE"
client_key_data = "KEY"

[profile.plain]
api_key = "hunter2"
[profile.plain.tls]
disabled = true
"""


@pytest.fixture
def temporal_toml(tmp_path: Path) -> str:
    file = tmp_path / "temporal.toml"
    file.write_text(PROFILES)
    return str(file)


def block(**keys: str) -> str:
    return f"workers: [{{name: iii-temporal, config: {{{', '.join(f'{k}: {v}' for k, v in keys.items())}}}}}]"


def test_a_profile_says_where_temporal_is_and_how_to_get_in(load: Build, temporal_toml: str) -> None:
    temporal = load(block(profile="cloud", config_file=temporal_toml)).temporal
    assert (temporal.address, temporal.namespace) == ("eu-west-1.aws.api.temporal.io:7233", "shop.a1b2c")
    assert temporal.api_key.get_secret_value() == "hunter2"
    assert temporal.is_encrypted
    assert temporal.ui_url == "https://cloud.temporal.io"
    assert {name: value.get_secret_value() for name, value in temporal.grpc_meta.items()} == {
        "tenant-of": "shop"
    }


def test_the_variables_of_temporals_own_tools_choose_the_profile(load: Build, temporal_toml: str) -> None:
    environ = {"TEMPORAL_CONFIG_FILE": temporal_toml}
    assert load("", environ).temporal.address == "default:1"
    assert load("", environ | {"TEMPORAL_PROFILE": "cloud"}).temporal.namespace == "shop.a1b2c"


@pytest.mark.parametrize(
    ("file", "environ", "flag", "address"),
    [
        ({"address": "file:1"}, {}, None, "file:1"),
        ({}, {"TEMPORAL_ADDRESS": "shell:2"}, None, "shell:2"),
        ({}, {"III_TEMPORAL_ADDRESS": "ours:3"}, None, "ours:3"),
        ({}, {}, "flag:4", "flag:4"),
    ],
)
def test_whoever_else_says_something_beats_the_profile(
    load: Build,
    temporal_toml: str,
    file: dict[str, str],
    environ: dict[str, str],
    flag: str | None,
    address: str,
) -> None:
    text = block(profile="cloud", config_file=temporal_toml, **file)
    temporal = load(text, environ, {"iii-temporal.address": flag}).temporal
    assert (temporal.address, temporal.namespace) == (address, "shop.a1b2c")


def test_a_certificate_as_a_file_takes_the_place_of_the_profile_s_text(
    load: Build, temporal_toml: str
) -> None:
    tls = load(
        block(profile="certificates", config_file=temporal_toml),
        {"TEMPORAL_TLS_CLIENT_CERT_PATH": __file__},
    ).temporal.tls
    assert (tls.cert_file, tls.cert_data) == (Path(__file__), None)
    assert (tls.key_data.get_secret_value(), tls.server_name) == ("KEY", "temporal.example")


def test_a_profile_can_say_that_there_is_no_encryption_though_there_is_a_key(
    load: Build, temporal_toml: str
) -> None:
    assert not load(block(profile="plain", config_file=temporal_toml)).temporal.is_encrypted


def test_a_profile_that_nobody_asked_for_is_not_read(
    load: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "temporalio"
    home.mkdir()
    (home / "temporal.toml").write_text(PROFILES)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load("").temporal.address == "127.0.0.1:7233"
    assert load("", {"TEMPORAL_PROFILE": "cloud"}).temporal.namespace == "shop.a1b2c"


def test_a_profile_that_does_not_exist_is_a_problem(reject: Build, temporal_toml: str) -> None:
    (problem,) = reject(block(profile="clout", config_file=temporal_toml))
    assert problem.what == f"there is no profile 'clout' in {temporal_toml}"
    assert problem.found == "certificates, cloud, default, plain"
    assert problem.remedy == "did you mean `cloud`?"


def test_a_file_that_does_not_exist_is_a_problem_of_its_key(reject: Build) -> None:
    (problem,) = reject("", {"TEMPORAL_CONFIG_FILE": "/nowhere/temporal.toml"})
    assert problem.where == "TEMPORAL_CONFIG_FILE iii-temporal.config_file"
    assert problem.what == "iii-temporal: `config_file` does not name a file"


def test_a_file_that_is_no_toml_is_a_problem(reject: Build, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("profile = [")
    (problem,) = reject(block(config_file=str(file)))
    assert problem.what.startswith(f"{file} cannot be read: ")


def test_what_a_profile_says_wrongly_is_blamed_on_it(reject: Build, tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.default]\naddress = "https://temporal"')
    (problem,) = reject(block(config_file=str(file)))
    assert problem.where == f"profile 'default' of {file} iii-temporal.address"


def test_headers_and_certificates_come_from_variables(load: Build) -> None:
    temporal = load(
        "",
        {
            "TEMPORAL_GRPC_META_TENANT_OF": "007",
            "TEMPORAL_GRPC_META_SHARD": "12",
            "TEMPORAL_TLS": "true",
            "TEMPORAL_TLS_CLIENT_CERT_DATA": "CERTIFICATE",
            "TEMPORAL_TLS_CLIENT_KEY_DATA": "KEY",
        },
    ).temporal
    assert temporal.grpc_meta["tenant-of"].get_secret_value() == "007"
    assert temporal.grpc_meta["shard"].get_secret_value() == "12"
    assert (temporal.is_encrypted, temporal.tls.cert_data) == (True, "CERTIFICATE")


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (f"{{tls: {{ca_file: {__file__}, ca_data: x}}}}", "`ca_file` and `ca_data` exclude each other"),
        ("{tls: {cert_data: x}}", "`cert_file` and `key_file` go together"),
        ('{grpc_meta: {token: "hunter2\\n"}}', "the value does not fit in a header"),
        ("{grpc_meta: {Token: hunter2}}", "this is not the name of a header with text"),
        ("{grpc_meta: {token-bin: hunter2}}", "this is not the name of a header with text"),
    ],
)
def test_what_contradicts_itself_is_a_problem_that_tells_no_secret(
    reject: Build, keys: str, what: str
) -> None:
    (problem,) = reject(f"workers: [{{name: iii-temporal, config: {keys}}}]")
    assert problem.what == f"iii-temporal: {what}"
    assert "hunter2" not in str(problem)


def test_a_key_of_payloads_that_is_wrong_is_not_shown(reject: Build) -> None:
    encryption = "{active_key: a, keys: {a: aHVudGVyMg==}}"
    (problem,) = reject(
        f"workers: [{{name: iii-temporal, config: {{payloads: {{encryption: {encryption}}}}}}}]"
    )
    assert problem.found == "(hidden)"


MAPPED = """[
  {profile: cloud, iii: [shop]},
  {namespace: team, iii: [team]},
  {profile: plain, namespace: x, iii: [x]}
]"""


def test_a_mapped_namespace_may_be_reached_as_a_profile_says(load: Build, temporal_toml: str) -> None:
    config = block(config_file=temporal_toml, profile="certificates", namespaces=MAPPED)
    home, cloud, team, plain = load(config).temporal.everywhere
    assert (cloud.address, cloud.namespace) == ("eu-west-1.aws.api.temporal.io:7233", "shop.a1b2c")
    assert cloud.api_key.get_secret_value() == "hunter2"
    assert (cloud.tls, cloud.ui_url) == (None, "https://cloud.temporal.io")
    assert (team.address, team.namespace, team.tls) == (home.address, "team", home.tls)
    assert (plain.address, plain.is_encrypted, plain.api_key.get_secret_value()) == (
        home.address,
        False,
        "hunter2",
    )


def test_a_mapped_namespace_with_an_address_gets_neither_key_nor_certificate_of_the_bridge(
    load: Build, temporal_toml: str
) -> None:
    mapped = "[{namespace: team, iii: [team], address: 'other:7233'}]"
    config = block(config_file=temporal_toml, profile="cloud", namespaces=mapped)
    _, team = load(config).temporal.everywhere
    assert (team.api_key, team.tls, dict(team.grpc_meta), team.ui_url) == (None, None, {}, None)


def test_what_is_wrong_in_the_profile_of_a_mapped_namespace_names_the_profile(
    reject: Build, temporal_toml: str
) -> None:
    (problem,) = reject(
        block(config_file=temporal_toml, namespaces="[{profile: nope, iii: [x], namespace: x}]")
    )
    assert "there is no profile 'nope'" in problem.what
