"""The bridge of the previous release, from this repository's history, as a process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.support.bridge_process import BridgeProcess, bridge_process

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.1.0"
COMMIT = "5cccf8e59f43e0264fa6f8e382d93c5862673427"
"""The last commit of that release; the histories in tests/replay/histories/0.1.0 are its."""
CACHE = ROOT / ".cache" / "releases" / VERSION
PACKAGES = ("bridge", "workflows", "activities")
START = "import bridge.cli; bridge.cli.main()"


@cache
def checked_out() -> Path:
    """Return a directory with the code of that release, or skip the test where the history is not at hand."""
    if not (CACHE / "complete").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(
            ["git", "archive", COMMIT, *PACKAGES], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode != 0:
            pytest.skip(f"no commit {COMMIT} here: fetch the whole history with `git fetch --unshallow`")
        subprocess.run(["tar", "x", "-C", str(CACHE)], input=archive.stdout, check=True)
        (CACHE / "complete").touch()
    return CACHE


@asynccontextmanager
async def previous_bridge(config: Path) -> AsyncIterator[BridgeProcess]:
    """Run `iii-temporal serve` of that release; what still runs afterwards is stopped."""
    # In front of this checkout, which is installed in the same environment.
    environ = {"PYTHONPATH": str(await asyncio.to_thread(checked_out)), "PATH": os.environ["PATH"]}
    async with bridge_process(config, program=(sys.executable, "-c", START), environ=environ) as bridge:
        yield bridge
