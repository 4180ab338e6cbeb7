"""What the Dockerfile runs to build the image makes a program that works."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.dockerfile import ROOT, copied_files, stages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEPS = [each.text for each in stages()["build"] if each.name == "RUN"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The directory in which the image is built, with what is copied there and nothing else."""
    directory = tmp_path / "src"
    directory.mkdir()
    for name in copied_files():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif "/" not in name:
            shutil.copy(ROOT / name, directory)
    return directory


def test_the_dependencies_are_those_of_the_project_and_of_a_bucket(source: Path) -> None:
    (step,) = [each for each in STEPS if each.startswith("python -c")]
    subprocess.run(step.replace("python", sys.executable, 1), shell=True, cwd=source, check=True)
    assert (source / "requirements.txt").read_text().splitlines() == [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["s3"],
    ]
    assert "pip install -r requirements.txt" in STEPS


def test_the_code_that_is_copied_installs_and_runs(source: Path, tmp_path: Path) -> None:
    (step,) = [each for each in STEPS if each.startswith("pip install --no-deps")]
    target = tmp_path / "installed"
    install = f"{sys.executable} -m {step} --quiet --disable-pip-version-check --target {target}"
    subprocess.run(install, shell=True, cwd=source, check=True)
    # In front of everything else, so that not the checkout is run but what was installed.
    environ = os.environ | {"PYTHONPATH": str(target)}
    ran = subprocess.run(
        [sys.executable, "-c", "import bridge.cli; print(bridge.__file__); bridge.cli.main(['--help'])"],
        capture_output=True,
        text=True,
        env=environ,
        cwd=tmp_path,
        check=True,
    )
    assert ran.stdout.startswith(str(target))
    assert "serve" in ran.stdout
