"""The examples as their users run them: `iii-temporal dev`, and the very commands of their READMEs."""

import os
import shutil
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.conformance.sdk_install import node_executable, node_sdk
from tests.integration.examples.shell import RunningExample, Shell, line_with
from tests.support.node_script import SDK_VERSION
from tests.support.temporal_server import free_port

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workflows(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningExample]:
    """`examples/workflows` with a running `iii-temporal dev`, on ports that nobody else uses."""
    directory = _copy(EXAMPLES / "workflows", tmp_path_factory.mktemp("examples"))
    _use_free_ports(directory / "iii-config.yaml")
    async with _dev(directory) as example:
        yield example


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def repository(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningExample]:
    """`iii-temporal dev` with the configuration at the top of the repository, on ports of the test's own.

    Its queues wait for next to nothing between attempts.
    """
    directory = tmp_path_factory.mktemp("repository")
    config = Path(shutil.copy(EXAMPLES.parent / "iii-config.yaml", directory))
    _use_free_ports(config)
    _use_short_delays(config)
    async with _dev(directory) as example:
        yield example


@asynccontextmanager
async def _dev(directory: Path) -> AsyncIterator[RunningExample]:
    temporal_port = free_port()
    programs = (sysconfig.get_path("scripts"), str(node_executable().parent))
    own = ("III_", "TEMPORAL_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(own)} | {
        "PATH": os.pathsep.join((*programs, os.environ["PATH"])),
        "III_TEMPORAL_PORT": str(temporal_port),
        "III_TEMPORAL_UI_PORT": str(free_port()),
    }
    async with Shell(directory, environ).running("iii-temporal dev") as dev:
        ready = await line_with("ready workers=", dev)
        addresses = dict(word.split("=", maxsplit=1) for word in ready.split()[1:])
        trigger_port = addresses["workers"].rpartition(":")[2]
        environ |= {"III_URL": addresses["workers"], "III_TEMPORAL_TRIGGER_PORT": trigger_port}
        yield RunningExample(Shell(directory, environ), f"127.0.0.1:{temporal_port}", addresses)


def _copy(example: Path, parent: Path) -> Path:
    """Copy an example, with the Node SDK where `npm install` puts it."""
    directory = parent / example.name
    shutil.copytree(example, directory, ignore=shutil.ignore_patterns("node_modules", "data"))
    (directory / "node_modules").symlink_to(node_sdk(SDK_VERSION) / "node_modules")
    return directory


def _use_free_ports(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    blocks = {entry["name"]: entry.setdefault("config", {}) for entry in config["workers"]}
    for name in blocks.keys() & {"iii-worker-manager", "iii-http", "iii-stream"}:
        blocks[name]["port"] = 0
    if "iii-temporal" not in blocks:
        config["workers"].append({"name": "iii-temporal", "config": blocks.setdefault("iii-temporal", {})})
    blocks["iii-temporal"]["admin"] = {"port": 0}
    path.write_text(yaml.safe_dump(config))


def _use_short_delays(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    (queues,) = [entry["config"] for entry in config["workers"] if entry["name"] == "iii-queue"]
    for each in queues["queue_configs"].values():
        each["backoff_ms"] = 10
    path.write_text(yaml.safe_dump(config))
