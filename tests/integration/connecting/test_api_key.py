"""API keys for Temporal that are replaced while a bridge runs (docs/connecting.md)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.handlers import Gate
from tests.support.key_proxy import KeyProxy, demanding_key
from tests.support.running_bridge import bridge_config, ended, running_bridge, write_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

ONE_AT_ONCE = {"jobs": {"concurrency": 1}}
HEARTBEAT = "RecordActivityTaskHeartbeat"


@pytest.fixture
async def proxy(temporal_address: str) -> AsyncIterator[KeyProxy]:
    async with demanding_key(temporal_address, "first") as proxy:
        yield proxy


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("first\n")
    return file


def replace_text(file: Path, text: str) -> None:
    file.write_text(text)


def config(proxy: KeyProxy, prefix: str, **temporal: Any) -> dict[str, Any]:
    return bridge_config(proxy.address, prefix, ONE_AT_ONCE, tls={"enabled": False}, **temporal)


@pytest.mark.usefixtures("looks_often")
async def test_a_new_key_in_the_file_is_used_at_once_and_nothing_in_flight_is_lost(
    temporal: Client, prefix: str, proxy: KeyProxy, key_file: Path, tmp_path: Path
) -> None:
    gate = Gate()
    path = write_config(tmp_path, config(proxy, prefix, api_key_file=str(key_file)))
    async with running_bridge(path, temporal, prefix) as bridge:
        worker, producer = await bridge.connect(), await bridge.connect()
        await worker.register({"work": gate})
        receipts = [await producer.enqueue("work", {"n": n}, "jobs") for n in range(5)]
        await bridge.eventually_handled(gate.begun, 1)

        proxy.keys = {"first", "second"}
        replace_text(key_file, "second\n")
        await eventually(lambda: proxy.count(HEARTBEAT, "second") >= 1)
        proxy.keys = {"second"}
        await eventually(lambda: proxy.count(HEARTBEAT, "second") >= 3)
        receipts.append(await producer.enqueue("work", {"n": 5}, "jobs"))
        gate.open()

        for receipt in receipts:
            assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(call.data["n"] for call in gate.begun) == list(range(6))
    assert {call.durable["attempt"] for call in gate.begun} == {1}
    with pytest.raises(RuntimeError, match="unauthorized"):
        await Client.connect(proxy.address, api_key="first", tls=False)
