"""Certificates for Temporal that are renewed while a bridge runs (docs/connecting.md)."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from tests.support.handlers import Gate
from tests.support.pki import Authority
from tests.support.running_bridge import bridge_config, ended, running_bridge, write_config
from tests.support.tls_proxy import TlsProxy, mutual_tls
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("looks_often")]


class Files:
    """The files that a bridge was told, and what they may be replaced with."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        pair = authority.sign("bridge")
        self.tls = {
            "ca_file": str(shutil.copy(authority.file, directory / "trusted.pem")),
            "cert_file": str(pair.cert_file),
            "key_file": str(pair.key_file),
        }

    def become(self, authority: Authority) -> None:
        """Trust another authority, and have a certificate of it."""
        pair = authority.sign("renewed")
        for key, new in (
            ("ca_file", authority.file),
            ("cert_file", pair.cert_file),
            ("key_file", pair.key_file),
        ):
            shutil.copy(new, self.tls[key])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def proxy(temporal_address: str, authority: Authority) -> AsyncIterator[TlsProxy]:
    async with mutual_tls(temporal_address, authority) as proxy:
        yield proxy


async def a_heartbeat(chain: WorkflowHandle[Any, Any]) -> None:
    """Return once Temporal has heard again from the one delivery that a chain waits for."""

    async def heard_at_ns() -> int:
        pending = (await chain.describe()).raw_description.pending_activities
        return pending[0].last_heartbeat_time.ToNanoseconds()

    before_ns = await heard_at_ns()

    async def has_been_heard() -> bool:
        return await heard_at_ns() > before_ns

    await eventually(has_been_heard)


async def test_renewed_files_are_used_at_once_and_nothing_in_flight_is_lost(
    temporal: Client, prefix: str, proxy: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    gate, files, successor = Gate(), Files(tmp_path, authority), Authority(tmp_path, "successor")
    config = bridge_config(proxy.address, prefix, {"jobs": {"concurrency": 1}}, tls=files.tls)
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        worker, producer = await bridge.connect(), await bridge.connect()
        await worker.register({"work": gate})
        receipts = [await producer.enqueue("work", {"n": n}, "jobs") for n in range(5)]
        await bridge.eventually_handled(gate.begun, 1)

        await proxy.trust(successor)
        files.become(successor)
        await eventually(lambda: proxy.let_in)
        proxy.drop_strangers()
        await a_heartbeat(bridge.chain(gate.begun[0].durable["receipt"]))
        receipts.append(await producer.enqueue("work", {"n": 5}, "jobs"))
        gate.open()

        for receipt in receipts:
            assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert sorted(call.data["n"] for call in gate.begun) == list(range(6))
    assert {call.durable["attempt"] for call in gate.begun} == {1}
