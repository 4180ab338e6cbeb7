"""The systemd unit: what it starts, how it stops, and what systemd says of it."""

import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import click
import pytest

from bridge.cli import main
from bridge.config import TemporalBlock
from tests.support.dockerfile import ROOT

UNIT = ROOT / "deploy" / "systemd" / "iii-temporal.service"
LINES = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
SETTINGS = dict(line.split("=", maxsplit=1) for line in LINES)
SCRIPTS = sysconfig.get_path("scripts")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def test_it_starts_a_bridge_with_options_that_exist() -> None:
    program, command, *arguments = shlex.split(SETTINGS["ExecStart"])
    assert Path(program).name == "iii-temporal"
    context = command_named(command).make_context(command, arguments)
    assert context.params["config"] == Path("/etc/iii-temporal/iii-config.yaml")


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        command_named("serve").make_context("serve", ["--no-such-option"])


def test_it_is_given_more_time_to_stop_than_it_takes() -> None:
    assert int(SETTINGS["TimeoutStopSec"]) * 1000 >= TemporalBlock().drain_timeout_ms + 10_000


def test_a_wrong_configuration_is_not_tried_again() -> None:
    assert SETTINGS["Restart"] == "on-failure"
    assert SETTINGS["RestartPreventExitStatus"] == "2"


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    assert verified(tmp_path, UNIT.read_text()) == ""
    assert "Unknown" in verified(tmp_path, UNIT.read_text().replace("Restart=", "Restrat="))


@needs_systemd
def test_systemd_calls_it_well_protected() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(UNIT)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def command_named(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def verified(directory: Path, text: str) -> str:
    path = directory / UNIT.name
    path.write_text(re.sub(r"^ExecStart=\S*/", f"ExecStart={SCRIPTS}/", text, flags=re.MULTILINE))
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return "\n".join(line for line in result.stderr.splitlines() if "iii-temporal" in line)
