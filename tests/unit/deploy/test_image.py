"""The image: who it runs as, how it stops, and what gets into it."""

import tomllib

import pytest

from bridge.config import HttpBlock, ListenerBlock, StreamBlock, TemporalBlock
from tests.support.dockerfile import ROOT, copied_files, last, stages

IGNORED = (ROOT / ".dockerignore").read_text().split()


@pytest.mark.parametrize("stage", ["bridge", "order-worker"])
def test_it_runs_as_nobody_in_particular_and_stops_by_sigterm(stage: str) -> None:
    assert last(stage, "USER").text == "10001:10001"
    assert last(stage, "STOPSIGNAL").text == "SIGTERM"


def test_the_bridge_is_what_a_build_without_target_makes() -> None:
    assert list(stages())[-1] == "bridge"


@pytest.mark.parametrize("path", copied_files())
def test_what_is_copied_exists_and_is_not_kept_out(path: str) -> None:
    assert (ROOT / path).exists()
    assert any(path == kept or path.startswith(kept + "/") for kept in allowed())


def test_nothing_else_gets_near_an_image() -> None:
    assert "*" in IGNORED
    assert all(any(path.startswith(kept) for path in copied_files()) for kept in allowed())


def test_every_package_of_the_wheel_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied_files())
    assert project["project"]["readme"] in copied_files()


def test_the_ports_are_those_of_the_configuration() -> None:
    ports = [ListenerBlock().port, HttpBlock().port, StreamBlock().port, TemporalBlock().admin.port]
    assert [int(port) for port in last("bridge", "EXPOSE").text.split()] == ports


def allowed() -> list[str]:
    return [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
