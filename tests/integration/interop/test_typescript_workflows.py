"""A workflow in TypeScript and functions on the Node SDK of iii, which use each other."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sdk_install import node_executable, node_packages
from tests.conformance.sdk_worker import Sdk
from tests.integration.interop.real_sdk import RealSdk, real_sdk
from tests.support.fake_sdk import CallFailed
from tests.support.running_bridge import StartBridge

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
PACKAGES = HERE.parents[2] / "examples" / "temporal_calls_iii" / "typescript" / "package.json"
START_LIMIT_S = 120


@pytest.fixture
async def typescript_queue(temporal_address: str, tmp_path: Path) -> AsyncIterator[str]:
    """The task queue of a worker on Temporal's TypeScript SDK."""
    # Node and the bundler look for packages beside the program.
    program = Path(shutil.copytree(HERE / "typescript", tmp_path / "typescript"))
    packages = await asyncio.to_thread(node_packages, "temporal-calls-iii", PACKAGES)
    (program / "node_modules").symlink_to(packages)
    queue = f"typescript-{uuid.uuid4()}"
    process = await asyncio.create_subprocess_exec(
        node_executable(), program / "worker.mjs", temporal_address, queue, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            assert await process.stdout.readline() == b"ready\n"
        yield queue
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture
async def client(start_bridge: StartBridge, typescript_queue: str) -> AsyncIterator[RealSdk]:
    rules = [{"workflow": "approvalWorkflow", "task_queue": typescript_queue}]
    bridge = await start_bridge(interop={"workflows": rules})
    async with real_sdk(bridge, await bridge.connect(), Sdk("node", "0.22.1"), "client") as client:
        yield client


async def begun(client: RealSdk, queue: str, prefix: str, order: dict[str, Any]) -> dict[str, str]:
    """Have the SDK start the workflow, and return how to mean it."""
    asked = {"workflow": "approvalWorkflow", "task_queue": queue, "args": [order, prefix]}
    return {"workflow_id": (await client.call("temporal::start", asked))["workflow_id"]}


async def test_a_function_drives_a_workflow_that_calls_functions(
    client: RealSdk, typescript_queue: str, prefix: str
) -> None:
    which = await begun(client, typescript_queue, prefix, {"article": "lamp"})
    assert await client.call("temporal::update", {**which, "update": "rename", "input": "lamp"}) == "unnamed"
    assert await client.call("temporal::query", {**which, "query": "name", "input": "!"}) == "lamp!"
    await client.call("temporal::signal", {**which, "signal": "approve"})
    end = await client.call("temporal::result", which)
    assert end == {"status": "completed", "result": {"name": "lamp", "echoed": {"article": "lamp"}}}


async def test_the_error_of_a_function_goes_through_the_workflow_to_the_function_that_waits(
    client: RealSdk, typescript_queue: str, prefix: str
) -> None:
    which = await begun(client, typescript_queue, prefix, {"fail": True})
    await client.call("temporal::signal", {**which, "signal": "approve"})
    with pytest.raises(CallFailed, match="cannot take this") as caught:
        await client.call("temporal::result", which)
    assert caught.value.code == "invocation_failed"
