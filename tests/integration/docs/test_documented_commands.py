"""The shell commands of README.md and of docs/ are run as they stand there."""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.dockerfile import ROOT
from tests.support.pages import NOT_RUN, commands
from tests.support.pipeline_processes import Process, TemporalProcess, free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXAMPLE = ROOT / "examples" / "migrating_transfer"
HERE = Path(__file__).parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
FAILS = {
    "transfer-2": "UnknownAccount",
    "dlq discard": "nobody is here to consent",  # the tests have no terminal in which it could ask
}
"""Commands that are documented to fail, by a word in them, and what they say."""


class Site:
    """A Temporal server and a bridge with the queues of the pages, and a shell for their commands."""

    def __init__(self, directory: Path, exits: ExitStack) -> None:
        self._directory = directory
        self._exits = exits
        self.temporal = TemporalProcess(directory)
        exits.callback(self.temporal.kill)
        self.temporal.start()
        self.ports = {name: free_port() for name in ("worker", "http", "admin")}
        blocks = yaml.safe_load((EXAMPLE / "iii-config.yaml").read_text())
        blocks["workers"] += [
            {"name": "iii-worker-manager", "config": {"port": self.ports["worker"]}},
            {"name": "iii-cron", "config": {}},
        ]
        queues = blocks["workers"][0]["config"]["queue_configs"]
        queues |= {"order-payment": {}, "orders": {"max_retries": 1, "backoff_ms": 10}}
        (directory / "iii-config.yaml").write_text(yaml.safe_dump(blocks))
        self._environ = os.environ | {
            "TEMPORAL_ADDRESS": self.temporal.address,
            "III_TEMPORAL_ADMIN_PORT": str(self.ports["admin"]),
            "III_URL": f"ws://127.0.0.1:{self.ports['worker']}",
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        }
        self.serve([str(SCRIPTS / "iii-temporal"), "serve"], "bridge", "ready workers=")

    def serve(self, command: list[str], name: str, line: str) -> None:
        """Run a command until the test ends; returns when it has printed a line."""
        self.start(command, name).wait_for_line(line)

    def start(self, command: list[str], name: str) -> Process:
        """Run a command until the test ends."""
        process = Process(command, self._directory, name, self._environ)
        self._exits.callback(process.kill)
        process.start()
        return process

    def run(self, command: str) -> str:
        """Run one command as it stands, with addresses of this site, and return what it printed."""
        if command.startswith("python "):
            script = Path(command.split()[1])
            self.serve([sys.executable, str(ROOT / script)], script.stem, "worker ready")
            return ""
        words = [word.replace(":9464", f":{self.ports['admin']}") for word in shlex.split(command)]
        if words[:2] in (["iii-temporal", "trigger"], ["iii-temporal", "queues"], ["iii-temporal", "dlq"]):
            words += ["--port", str(self.ports["worker"])]
        ran = subprocess.run(
            words,
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        said = [text for word, text in FAILS.items() if word in command]
        assert (ran.returncode != 0) == bool(said), (command, ran.stdout, ran.stderr)
        assert all(text in ran.stdout + ran.stderr for text in said)
        return ran.stdout

    def call(self, function_id: str, payload: Any) -> Any:
        """Call a function and return its answer."""
        return json.loads(self.run(f"iii-temporal trigger {function_id} --json '{json.dumps(payload)}'"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as exits:
        yield Site(tmp_path, exits)


async def test_the_commands_of_the_migration_run_side_by_side(site: Site) -> None:
    receipts: list[str] = []
    printed: dict[str, str] = {}
    for command in run_of("docs/migrating-from-temporal.md"):
        printed[command] = site.run(command.replace("<receipt>", receipts[-1] if receipts else ""))
        if "withdraw" in command:
            receipts.append(json.loads(printed[command])["messageReceiptId"])

    def statuses() -> list[str]:
        return [site.call("chain::get", {"receipt": receipt})["chain"]["status"] for receipt in receipts]

    def listed() -> list[str]:
        return sorted(each["status"] for each in site.call("chain::list", {})["chains"])

    await eventually(lambda: statuses() == ["completed", "compensated"], 60)
    await eventually(lambda: listed() == ["completed", "failed"], 60)
    assert "there is no account nobody" in site.run("iii-temporal dlq list transfers")


def test_the_commands_of_the_operations_guide_run(site: Site) -> None:
    for command in run_of("docs/operations.md"):
        site.run(command)


async def test_the_commands_on_dead_letters_run(site: Site) -> None:
    site.serve([sys.executable, str(HERE / "declining_worker.py")], "declining", "worker ready")
    for _ in range(3):
        site.run("iii-temporal trigger orders::charge --queue orders")

    def dead() -> list[Any]:
        letters: list[Any] = site.call("engine::queue::dlq_messages", {"topic": "orders"})
        return letters if len(letters) == 3 else []

    slowly = {"queue": "orders", "rate_per_s": 0.1, "wait": False}
    for command in run_of("docs/dead-letters.md"):
        (letter, *_) = await eventually(dead, 30)  # what was redriven dies again
        filled = command.replace("<id>", letter["id"])
        if "<operation>" in command:
            filled = filled.replace("<operation>", site.call("iii::queue::redrive", slowly)["operation_id"])
        printed = site.run(filled)
        if command.startswith("iii-temporal dlq show"):
            assert "card declined" in printed


def test_a_server_starts_with_the_flags_of_the_readme(site: Site) -> None:
    (command,) = [each for each in run_of("README.md") if each.startswith("temporal server start-dev")]
    port = free_port()
    words = [*shlex.split(command), "--headless", "--port", str(port)]
    site.start([str(SCRIPTS / words[0]), *words[1:]], "server").wait_for_port(port)


def run_of(page: str) -> list[str]:
    """Return the commands of a page that are run."""
    return [command for command in commands(page) if command not in NOT_RUN]
