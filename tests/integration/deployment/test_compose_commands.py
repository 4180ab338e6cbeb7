"""Every command that docker-compose.temporal.yml and the images contain is run, without containers.

Addresses, ports and paths are this machine's instead of the containers'; everything else is as it stands
there.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bridge.temporal.dev_server import DevServerSettings, run_dev_server
from tests.conformance.sdk_install import python_sdk
from tests.support.dockerfile import ROOT, last
from tests.support.pipeline_processes import ORDER_EXAMPLE, Process, free_port
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.temporal.yml").read_text())["services"]
CONFIG = ROOT / "deploy" / "container" / "iii-config.yaml"
SCRIPTS = Path(sysconfig.get_path("scripts"))
CHECK_READY = ROOT / "deploy" / "container" / "check_ready.py"
ORDER = {"items": [{"sku": "mug", "quantity": 1}], "total": 42}
LISTENERS = ("iii-worker-manager", "iii-http", "iii-stream")


class ContainerBridge(Process):
    """What the image runs, with the environment of a service."""

    def __init__(self, name: str, directory: Path, temporal_address: str, redis_url: str) -> None:
        self.admin_port = free_port()
        config = directory / "iii-config.yaml"
        config.write_text(yaml.safe_dump(_on_this_machine(yaml.safe_load(CONFIG.read_text()))))
        environ = _plain(SERVICES[name]["environment"]) | {
            "TEMPORAL_ADDRESS": temporal_address,
            "REDIS_URL": redis_url,
            "III_TEMPORAL_CONFIG": str(config),
            "III_TEMPORAL_ADMIN_PORT": str(self.admin_port),
            "III_TEMPORAL_PREFIX": "composed",
        }
        program, *arguments = last("bridge", "ENTRYPOINT").command + last("bridge", "CMD").command
        super().__init__([str(SCRIPTS / program), *arguments], directory, name, environ)
        self.environ = os.environ | environ
        self.addresses: dict[str, str] = {}

    def start(self) -> None:
        super().start()
        self.addresses = dict(
            part.split("=", maxsplit=1) for part in self.wait_for_line("ready workers=").split()[1:]
        )

    def is_healthy(self) -> bool:
        """Run the HEALTHCHECK of the image."""
        program, path = last("bridge", "HEALTHCHECK").command
        assert (program, Path(path).name) == ("python", CHECK_READY.name)
        command = [sys.executable, str(CHECK_READY)]
        return subprocess.run(command, env=self.environ, capture_output=True, check=False).returncode == 0


@pytest.fixture
async def redis_port(tmp_path: Path) -> AsyncIterator[int]:
    """The service `redis`, which is healthy."""
    port = free_port()
    command = [*SERVICES["redis"]["command"], "--port", str(port), "--bind", "127.0.0.1"]
    redis = Process(command, tmp_path, "redis")
    redis.start()
    try:
        program, *arguments = SERVICES["redis"]["healthcheck"]["test"][1:]
        check = [program, "-p", str(port), *arguments]
        await eventually(lambda: subprocess.run(check, capture_output=True, check=False).returncode == 0)
        yield port
    finally:
        redis.kill()


async def test_two_bridges_and_their_workers_serve_orders_and_each_other(
    temporal_address: str, redis_port: int, tmp_path: Path
) -> None:
    async with AsyncExitStack() as exits:
        bridges = []
        for number in (1, 2):
            directory = tmp_path / str(number)
            directory.mkdir()
            bridge = ContainerBridge(
                f"bridge-{number}", directory, temporal_address, f"redis://127.0.0.1:{redis_port}"
            )
            exits.callback(bridge.kill)
            assert not bridge.is_healthy()
            bridge.start()
            await eventually(bridge.is_healthy)
            worker = _worker(f"order-worker-{number}", directory, bridge.addresses["workers"])
            exits.callback(worker.kill)
            worker.start()
            worker.wait_for_line("worker ready")
            bridges.append(bridge)
        first, second = bridges
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
            placed = (await http.post(f"{first.addresses['http']}/orders", json=ORDER)).json()

            async def is_fulfilled() -> bool:
                answer = await http.get(f"{second.addresses['http']}/orders/{placed['order_id']}")
                return bool(answer.json()["status"] == "fulfilled")

            await eventually(is_fulfilled)
        first.send_signal(signal.Signals[last("bridge", "STOPSIGNAL").text])
        assert first.wait() == 0
        assert not first.is_healthy()
        assert second.is_healthy()


def test_the_healthcheck_of_temporal_asks_a_real_server(temporal_address: str) -> None:
    program, *rest = _shell("temporal")
    command = " ".join([str(SCRIPTS / program), *rest])
    ok = command.replace("$$(hostname -i):7233", temporal_address)
    assert ok != command
    assert subprocess.run(shlex.split(ok), capture_output=True, check=False).returncode == 0
    nobody = command.replace("$$(hostname -i):7233", f"127.0.0.1:{free_port()}")
    assert subprocess.run(shlex.split(nobody), capture_output=True, check=False).returncode != 0


async def test_the_healthcheck_of_the_web_ui_asks_a_real_one() -> None:
    settings = DevServerSettings(port=free_port(), ui_port=free_port(), database=None)
    async with run_dev_server(settings):
        command = [word.replace(":8080", f":{settings.ui_port}") for word in _shell("temporal-ui")]
        await eventually(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0)


def test_the_commands_that_are_run_are_all_there_are() -> None:
    # PostgreSQL is not among what the tests install; its healthcheck is the one in its image's documentation.
    assert SERVICES["postgresql"]["healthcheck"]["test"] == ["CMD-SHELL", "pg_isready -U temporal"]
    checked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert checked == {"postgresql", "temporal", "temporal-ui", "redis"}
    assert {name for name, service in SERVICES.items() if "command" in service} == {"redis"}


def _shell(service: str) -> list[str]:
    kind, text = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    return shlex.split(text)


def _worker(name: str, directory: Path, url: str) -> Process:
    program, path = last("order-worker", "CMD").command
    assert (program, Path(path).name) == ("python", "worker.py")
    environ = _plain(SERVICES[name]["environment"]) | {"III_URL": url}
    command = [str(python_sdk("0.25.0")), str(ORDER_EXAMPLE / "worker.py")]
    return Process(command, directory, name, environ)


def _plain(environ: dict[str, str]) -> dict[str, str]:
    """Return variables as compose passes them on where nothing is set: `${NAME:-default}` is the default."""
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in environ.items()}


def _on_this_machine(config: dict[str, Any]) -> dict[str, Any]:
    for block in config["workers"]:
        if block["name"] in LISTENERS:
            block["config"] |= {"host": "127.0.0.1", "port": 0}
    return config
