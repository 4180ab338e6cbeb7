"""The API key of Temporal may stand in a file of its own (docs/connecting.md)."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.cli.mapping import describe
from bridge.config import change_of
from bridge.settings import credential_sources
from tests.unit.config.conftest import Load, Reject


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("  s3cret\n")
    return file


def block(**keys: object) -> str:
    return json.dumps({"workers": [{"name": "iii-temporal", "config": keys}]})


def test_it_turns_tls_on_and_what_it_holds_is_the_key(load: Load, key_file: Path) -> None:
    temporal = load(block(api_key_file=str(key_file))).temporal
    assert temporal.is_encrypted
    assert credential_sources(temporal).read().api_key == "s3cret"


def test_it_can_be_named_by_a_variable_and_beats_the_key_of_a_profile(
    load: Load, key_file: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text("[profile.default]\napi_key = 'hunter2'")
    environ = {"III_TEMPORAL_API_KEY_FILE": str(key_file), "TEMPORAL_CONFIG_FILE": str(profile)}
    assert credential_sources(load("", environ).temporal).read().api_key == "s3cret"


@pytest.mark.parametrize(
    ("content", "environ", "what", "remedy"),
    [
        (
            "s3cret",
            {"TEMPORAL_API_KEY": "another"},
            "`api_key_file` and `api_key` exclude each other",
            "give one of them",
        ),
        (" \n", {}, "key is empty", "write the key, and nothing else, into the file"),
        ("s3cret s3cret", {}, "key holds more than one word of visible ASCII", "write the key"),
        ("ключ", {}, "key holds more than one word of visible ASCII", "write the key"),
    ],
)
def test_one_that_gives_no_key_is_a_problem_that_does_not_show_it(
    reject: Reject, key_file: Path, content: str, environ: Mapping[str, str], what: str, remedy: str
) -> None:
    key_file.write_text(content)
    (problem,) = reject(block(api_key_file=str(key_file)), environ)
    assert what in problem.what
    assert remedy in (problem.remedy or "")
    assert "s3cret" not in str(problem)


def test_one_that_is_not_there_is_a_problem(reject: Reject) -> None:
    (problem,) = reject(block(api_key_file="/does/not/exist"))
    assert problem.what == "iii-temporal: `api_key_file` does not name a file"


@pytest.mark.parametrize(
    ("keys", "shown"),
    [({"api_key": "other"}, "other"), ({"address": "elsewhere:7233"}, None), ({}, "s3cret")],
)
def test_a_mapped_namespace_of_the_same_server_shares_it_unless_it_has_a_key_of_its_own(
    load: Load, key_file: Path, keys: dict[str, object], shown: str | None
) -> None:
    mapped = {"namespace": "shop", "iii": ["shop"], **keys}
    home, other = load(block(api_key_file=str(key_file), namespaces=[mapped])).temporal.everywhere
    assert credential_sources(home).read().api_key == "s3cret"
    assert credential_sources(other).read().api_key == shown


def test_check_says_where_the_key_is_and_not_what_it_is(load: Load, key_file: Path, tmp_path: Path) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text("[profile.default]\napi_key = 's3cret'")
    here = {
        f"in {key_file}, which is read again when it changes": ({"api_key_file": str(key_file)}, {}),
        "from TEMPORAL_API_KEY": ({}, {"TEMPORAL_API_KEY": "s3cret"}),
        f"from profile 'default' of {profile}": ({"config_file": str(profile)}, {}),
        f"from {tmp_path / 'iii-config.yaml'}": ({"api_key": "s3cret"}, {}),
        "none": ({}, {}),
    }
    for told, (keys, environ) in here.items():
        lines = [" ".join(line.split()) for line in describe(load(block(**keys), environ))]
        assert f"API key {told}" in lines
        assert not [line for line in lines if "s3cret" in line]


def test_a_new_way_to_get_in_takes_effect_while_the_bridge_runs(load: Load, key_file: Path) -> None:
    change = change_of(
        "iii-temporal",
        load(block(api_key="old", prefix="a", grpc_meta={"x": "1"})),
        load(block(api_key_file=str(key_file), prefix="b", grpc_meta={"x": "2"}, tls={"enabled": False})),
    )
    assert set(change.live) == {
        "iii-temporal.api_key",
        "iii-temporal.api_key_file",
        "iii-temporal.grpc_meta.x",
        "iii-temporal.tls",
    }
    assert change.restart == ("iii-temporal.prefix",)
