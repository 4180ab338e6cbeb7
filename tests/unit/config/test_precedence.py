"""Flags beat the environment, which beats the file."""

from collections.abc import Callable
from typing import Any

import pytest

Build = Callable[..., Any]

FILE = "workers: [{name: iii-temporal, config: {address: 'file:1', admin: {port: 1}}}]"


@pytest.mark.parametrize(
    ("environ", "flag", "address"),
    [
        ({}, None, "file:1"),
        ({"TEMPORAL_ADDRESS": "shell:2"}, None, "shell:2"),
        ({"TEMPORAL_ADDRESS": "shell:2", "III_TEMPORAL_ADDRESS": "ours:3"}, None, "ours:3"),
        ({"TEMPORAL_ADDRESS": "shell:2", "III_TEMPORAL_ADDRESS": "ours:3"}, "flag:4", "flag:4"),
        ({"III_TEMPORAL_ADDRESS": " "}, None, "file:1"),
    ],
)
def test_the_nearest_source_wins(
    load: Build, environ: dict[str, str], flag: str | None, address: str
) -> None:
    assert load(FILE, environ, {"iii-temporal.address": flag}).temporal.address == address


def test_the_environment_reaches_every_single_value_of_our_block(load: Build) -> None:
    temporal = load(
        FILE,
        {
            "III_TEMPORAL_NAMESPACE": "123",
            "III_TEMPORAL_API_KEY": "key",
            "III_TEMPORAL_TLS_SERVER_NAME": "temporal.example",
            "III_TEMPORAL_ADMIN_PORT": "9999",
            "III_TEMPORAL_DUPLICATE_FUNCTIONS": "reject",
            "III_TEMPORAL_WORKER_OUTBOX_MAX_MESSAGES": "5",
        },
    ).temporal
    assert temporal.namespace == "123"
    assert temporal.api_key.get_secret_value() == "key"
    assert temporal.tls.server_name == "temporal.example"
    assert temporal.admin.port == 9999
    assert temporal.duplicate_functions == "reject"
    assert temporal.worker_outbox.max_messages == 5
    assert temporal.address == "file:1"


def test_the_variables_of_temporals_own_tools_are_respected(load: Build) -> None:
    temporal = load("", {"TEMPORAL_NAMESPACE": "shop.a1b2c", "TEMPORAL_API_KEY": "key"}).temporal
    assert temporal.namespace == "shop.a1b2c"
    assert temporal.api_key.get_secret_value() == "key"


def test_a_problem_with_a_variable_names_the_variable_and_not_the_file(reject: Build) -> None:
    (problem,) = reject(FILE, {"III_TEMPORAL_ADMIN_PORT": "tcp://10.0.0.1:9464"})
    assert problem.where == "III_TEMPORAL_ADMIN_PORT iii-temporal.admin.port"
    assert problem.found == '"tcp://10.0.0.1:9464"'
    assert problem.line is None


def test_a_problem_with_a_flag_names_the_command_line(reject: Build) -> None:
    (problem,) = reject(FILE, overrides={"iii-temporal.address": "nowhere"})
    assert problem.where == "command line iii-temporal.address"


def test_a_problem_with_the_grace_time_names_its_variable(reject: Build) -> None:
    (problem,) = reject("", {"III_NAMESPACE_GRACE_MS": "soon"})
    assert (problem.where, problem.found) == ("III_NAMESPACE_GRACE_MS", "soon")


def test_an_override_serves_a_block_that_the_file_does_not_list(load: Build) -> None:
    config = load("", overrides={"iii-http.port": 0, "iii-state.adapter.config.store_method": None})
    assert config.http.port == 0
    assert config.state is None


def test_an_override_changes_one_key_and_keeps_its_neighbours(load: Build) -> None:
    config = load(FILE, overrides={"iii-temporal.admin.host": "::1", "iii-worker-manager.port": 0})
    assert (config.temporal.admin.host, config.temporal.admin.port) == ("::1", 1)
    assert config.listeners[0].port == 0


def test_a_misspelt_variable_is_pointed_out(load: Build) -> None:
    environ = {
        "III_TEMPORAL_ADRESS": "x:1",
        "III_TEMPORAL_SERVICE_HOST": "10.0.0.1",
        "III_TEMPORAL_CONFIG": "f",
    }
    assert load("", environ).warnings == (
        (
            "environment variable III_TEMPORAL_ADRESS is not a setting and has no effect;"
            " did you mean III_TEMPORAL_ADDRESS?"
        ),
    )


def test_a_secret_does_not_show_in_the_configuration(load: Build) -> None:
    assert "hunter2" not in repr(load("", {"III_TEMPORAL_API_KEY": "hunter2"}))
