"""Every command in a ```bash block of docs/ is run, or listed here with the reason why not."""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.support.pipeline_processes import Process, TemporalProcess, free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "migrating_transfer"
SCRIPTS = Path(sysconfig.get_path("scripts"))
NOT_RUN = {
    "iii-temporal dev --config examples/migrating_transfer/iii-config.yaml": (
        "the site is a server and a bridge with this file, on ports of its own"
    ),
    """sqlite3 data/state/bridge-state.sqlite3 ".backup 'state-backup.sqlite3'\"""": (
        "the tests install no program sqlite3"
    ),
}
FAILS = {"transfer-2": "UnknownAccount"}
"""Commands that are documented to fail, by a word in them, and what they say."""


def documented(page: str) -> list[str]:
    """Return the commands of a page in order."""
    blocks = re.findall(
        r"^ *```bash\n(.*?)^ *```$", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE
    )
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


class Site:
    """A Temporal server and a bridge with the example's queue, and a shell for commands of the pages."""

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
        blocks["workers"][0]["config"]["queue_configs"]["order-payment"] = {}
        (directory / "iii-config.yaml").write_text(yaml.safe_dump(blocks))
        self._environ = os.environ | {
            "TEMPORAL_ADDRESS": self.temporal.address,
            "III_TEMPORAL_ADMIN_PORT": str(self.ports["admin"]),
            "III_URL": f"ws://127.0.0.1:{self.ports['worker']}",
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        }
        self.serve([str(SCRIPTS / "iii-temporal"), "serve"], "bridge", "ready workers=")

    def serve(self, command: list[str], name: str, line: str) -> None:
        process = Process(command, self._directory, name, self._environ)
        self._exits.callback(process.kill)
        process.start()
        process.wait_for_line(line)

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
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        said = [text for word, text in FAILS.items() if word in command]
        assert (ran.returncode != 0) == bool(said), (command, ran.stdout, ran.stderr)
        assert all(text in ran.stdout + ran.stderr for text in said)
        return ran.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as exits:
        yield Site(tmp_path, exits)


async def test_the_commands_of_the_migration_run_side_by_side(site: Site) -> None:
    printed = {
        command: site.run(command) for command in documented("migrating-from-temporal.md") if is_run(command)
    }
    receipts = [
        json.loads(text)["messageReceiptId"] for command, text in printed.items() if "withdraw" in command
    ]

    def statuses() -> list[str]:
        asked = [site.run(f"iii-temporal trigger chain::get receipt={receipt}") for receipt in receipts]
        return [json.loads(text)["chain"]["status"] for text in asked]

    await eventually(lambda: statuses() == ["completed", "compensated"], 60)
    assert "there is no account nobody" in site.run("iii-temporal dlq list transfers")


def test_the_commands_of_the_operations_guide_run(site: Site) -> None:
    for command in documented("operations.md"):
        if is_run(command):
            site.run(command)


def test_no_page_has_commands_that_nobody_runs() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if documented(page)} == {"migrating-from-temporal.md", "operations.md"}


def is_run(command: str) -> bool:
    return command not in NOT_RUN


def test_what_is_not_run_is_still_documented() -> None:
    assert set(NOT_RUN) <= {*documented("migrating-from-temporal.md"), *documented("operations.md")}
