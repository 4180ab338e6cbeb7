"""What the options of `dev` and `demo` mean for the Temporal dev server."""

from pathlib import Path
from typing import Any

import click
import pytest

from bridge.cli.dev import dev_server_settings
from bridge.temporal.dev_server import DevServerSettings, start_command


def settings(**options: Any) -> DevServerSettings:
    given = {"temporal_port": 7000, "ui_port": 8000, "temporal_db": None, "ephemeral": False}
    return dev_server_settings(**(given | {"namespaces": ("default",)} | options))


def test_workflows_are_kept_in_the_data_directory_unless_told_otherwise() -> None:
    assert settings().database == Path("data/temporal.db")
    assert settings(temporal_db=Path("other.db")).database == Path("other.db")
    assert settings(ephemeral=True).database is None


def test_keeping_workflows_and_not_keeping_them_contradict_each_other() -> None:
    with pytest.raises(click.UsageError, match="choose one"):
        settings(ephemeral=True, temporal_db=Path("other.db"))


def test_the_namespaces_of_the_configuration_are_created() -> None:
    command = start_command(settings(namespaces=("shop", "team-a")))
    created = [command[at + 1] for at, word in enumerate(command) if word == "--namespace"]
    assert created == ["shop", "team-a"]


def test_without_a_web_ui_there_is_no_port_for_it() -> None:
    command = start_command(settings(has_ui=False, ui_port=None))
    assert "--headless" in command
    assert "--ui-port" not in command
