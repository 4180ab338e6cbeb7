"""What real SDKs make of being turned away where `duplicate_functions` is `reject` (spec 01 §3.6)."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.conformance.sdk_install import python_sdk
from tests.conformance.sdk_worker import CLIENTS, Sdk, offered, running_worker
from tests.integration.worker_socket.live import LiveBridge, live_bridge
from tests.support.waiting import PATIENCE_S

PYTHON, NODE = Sdk("python", "0.25.0"), Sdk("node", "0.22.1")


@pytest.fixture
async def bridge() -> AsyncIterator[LiveBridge]:
    async with live_bridge() as bridge:
        bridge.engine.functions.duplicates = "reject"
        yield bridge


async def test_a_python_worker_whose_name_is_taken_gives_up_and_says_why(bridge: LiveBridge) -> None:
    async with running_worker(PYTHON, bridge, "client") as owner:
        program = [str(python_sdk(PYTHON.version)), str(CLIENTS / "rejected.py"), bridge.url, "client"]
        process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(PATIENCE_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        told = json.loads(output)

        why = {
            "code": "WORKER_NAMESPACE_CONFLICT",
            "namespace": "default",
            "worker_name": "client",
            "owner_worker_id": owner.worker.id,
            "state": "failed",
        }
        assert {key: told[key] for key in why} == why
        assert await owner.run("echo", {"a": 1}) == {"a": 1}


async def test_a_python_worker_serves_on_without_the_function_that_another_has(bridge: LiveBridge) -> None:
    async with bridge.client() as owner:
        await owner.introduce(name="owner")
        await owner.say("registerfunction", id="client::nothing")
        assert await owner.is_served()
        async with running_worker(PYTHON, bridge, "client") as newcomer:
            assert await newcomer.run("echo", {"a": 1}) == {"a": 1}
            answer, asked = await asyncio.gather(newcomer.run("nothing", {"b": 2}), owner.serve_one())

        assert answer == {"b": 2}
        assert asked["function_id"] == "client::nothing"


async def test_a_node_worker_too_old_to_be_turned_away_takes_over_and_both_stay(bridge: LiveBridge) -> None:
    async with running_worker(NODE, bridge, "client") as first:
        before = first.worker
        newcomer = asyncio.Event()
        bridge.engine.on_function_offered.append(lambda _: newcomer.set())
        async with running_worker(NODE, bridge, "client") as second:
            await newcomer.wait()
            await offered(bridge, "client::temporary")
            assert await second.run("echo", {"a": 1}) == {"a": 1}
            provider = bridge.engine.functions.find("client::echo")

            assert provider is not None
            assert provider.worker is not before
            names = [each.info.name for each in bridge.engine.workers.values()]
            assert names == ["client", "client"]
        assert before.id in bridge.engine.workers
