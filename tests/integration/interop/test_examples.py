"""The examples whose workflows call functions, with the real SDKs on both ends."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.sdk_install import node_executable, node_packages, python_sdk
from tests.support.running_bridge import RunningBridge

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "temporal_calls_iii"
DONE = re.compile(r"order done r-\w+ p-\w+\n")


@pytest.fixture
async def environ(bridge: RunningBridge, temporal_address: str) -> AsyncIterator[dict[str, str]]:
    """How the example's programs find the test's servers; its functions run."""
    environ = os.environ | {
        "III_URL": bridge.addresses.workers[0],
        "III_TASK_QUEUE": bridge.prefix,
        "TEMPORAL_ADDRESS": temporal_address,
    }
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(python_sdk, "0.25.0"),
        EXAMPLE / "functions.py",
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"worker ready\n"
        yield environ
    finally:
        process.kill()
        await process.communicate()


async def output(environ: dict[str, str], *command: str | Path) -> str:
    """Return what a program prints that succeeds."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environ)
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    return printed.decode()


async def test_a_python_workflow_calls_functions_of_a_python_worker(environ: dict[str, str]) -> None:
    printed = await output(environ, sys.executable, EXAMPLE / "python" / "order_workflow.py")
    assert DONE.fullmatch(printed)


async def test_a_typescript_workflow_calls_functions_of_a_python_worker(
    environ: dict[str, str], tmp_path: Path
) -> None:
    # Node and the bundler look for packages beside the program.
    program = Path(shutil.copytree(EXAMPLE / "typescript", tmp_path / "typescript"))
    packages = await asyncio.to_thread(node_packages, "temporal-calls-iii", program / "package.json")
    (program / "node_modules").symlink_to(packages)
    printed = await output(environ, node_executable(), program / "order.mjs")
    assert DONE.fullmatch(printed)
