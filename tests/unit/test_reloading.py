"""When the file is loaded again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.config import BridgeConfig, InvalidConfigError, Problem, load_config
from bridge.reload import Reloading
from tests.support.waiting import eventually

CONFIG = load_config(Path("/dev/null"), environ={})


class Loader:
    def __init__(self) -> None:
        self.loads = 0
        self.problem: str | None = None
        self.followed: list[BridgeConfig] = []

    def load(self) -> BridgeConfig:
        self.loads += 1
        if self.problem is not None:
            raise InvalidConfigError([Problem(what=self.problem)])
        return CONFIG

    async def follow(self, config: BridgeConfig) -> None:
        self.followed.append(config)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "iii-config.yaml"
    path.write_text("workers: []")
    return path


@pytest.fixture
def loader() -> Loader:
    return Loader()


async def test_an_edit_while_the_bridge_starts_is_not_missed(path: Path, loader: Loader) -> None:
    reloading = Reloading([path], loader.load, loader.follow, look_every_s=0.01)
    await asyncio.to_thread(path.write_text, "workers: [ ]")
    async with running(reloading):
        await eventually(lambda: loader.followed == [CONFIG])


@asynccontextmanager
async def running(reloading: Reloading) -> AsyncIterator[None]:
    task = asyncio.create_task(reloading.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def reloading(path: Path, loader: Loader) -> AsyncIterator[Reloading]:
    reloading = Reloading([path], loader.load, loader.follow, look_every_s=0.01)
    async with running(reloading):
        yield reloading


async def test_it_is_loaded_when_it_has_changed(reloading: Reloading, loader: Loader, path: Path) -> None:
    reloading.ask()
    await eventually(lambda: loader.loads == 1)
    await asyncio.to_thread(path.write_text, "workers: [ ]")
    await eventually(lambda: loader.followed == [CONFIG, CONFIG])


async def test_it_is_loaded_when_asked_to_although_it_has_not_changed(
    reloading: Reloading, loader: Loader
) -> None:
    reloading.ask()
    await eventually(lambda: loader.followed == [CONFIG])


async def test_one_that_cannot_be_used_changes_nothing_and_is_not_loaded_again(
    reloading: Reloading, loader: Loader
) -> None:
    loader.problem = "queue 'pay': no group"
    with capture_logs() as logs:
        reloading.ask()
        await eventually(lambda: logs)
    assert logs[0]["problems"] == "queue 'pay': no group"
    assert loader.followed == []
    loader.problem = None
    reloading.ask()
    await eventually(lambda: loader.followed == [CONFIG])
    assert loader.loads == 2


async def test_a_link_that_is_exchanged_is_a_change(tmp_path: Path, loader: Loader) -> None:
    """Kubernetes mounts a ConfigMap this way."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "iii-config.yaml").write_text("workers: []")
    (tmp_path / "data").symlink_to("v1")
    linked = Reloading([tmp_path / "data" / "iii-config.yaml"], loader.load, loader.follow, look_every_s=0.01)
    async with running(linked):
        linked.ask()
        await eventually(lambda: loader.loads == 1)
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").replace(tmp_path / "data")
        await eventually(lambda: loader.loads == 2)


async def test_without_a_file_only_asking_loads(loader: Loader) -> None:
    reloading = Reloading([], loader.load, loader.follow, look_every_s=0.01)
    async with running(reloading):
        reloading.ask()
        await eventually(lambda: loader.followed == [CONFIG])
    assert loader.loads == 1
