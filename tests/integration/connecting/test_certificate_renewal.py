"""Certificates for Temporal that are renewed while a bridge runs (docs/connecting.md)."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowHandle

from tests.integration.connecting.deliveries import delivers, has_completed
from tests.support.handlers import Gate
from tests.support.pki import Authority
from tests.support.running_bridge import bridge_config, running_bridge, write_config
from tests.support.tls_proxy import TlsProxy, mutual_tls
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("looks_often")]


REPLACED = "temporal credentials replaced"
NOT_REPLACED = "temporal credentials not replaced; the old ones stay"


class Files:
    """The files that a bridge was told, and what they may be replaced with."""

    def __init__(self, directory: Path, authority: Authority, name: str = "bridge") -> None:
        pair = authority.sign(name)
        self.tls = {
            "ca_file": str(shutil.copy(authority.file, directory / f"{name}-trusted.pem")),
            "cert_file": str(pair.cert_file),
            "key_file": str(pair.key_file),
        }

    def become(self, authority: Authority, *keys: str) -> None:
        """Trust another authority, and have a certificate of it; or some of this only."""
        pair = authority.sign("renewed")
        new = {"ca_file": authority.file, "cert_file": pair.cert_file, "key_file": pair.key_file}
        for key in keys or new:
            shutil.copy(new[key], self.tls[key])


def told(logs: list[Any], event: str) -> list[Any]:
    """Return what was logged of an event."""
    return [each for each in logs if each["event"] == event]


def write(path: Path, config: dict[str, Any]) -> None:
    path.write_text(json.dumps(config))


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

        await has_completed(bridge, *receipts)
    assert sorted(call.data["n"] for call in gate.begun) == list(range(6))
    assert {call.durable["attempt"] for call in gate.begun} == {1}


@pytest.mark.parametrize("half", [("cert_file",), ("ca_file", "cert_file", "key_file")])
async def test_what_does_not_get_in_leaves_the_old_ones_in_force_until_it_does(
    temporal: Client, prefix: str, proxy: TlsProxy, authority: Authority, tmp_path: Path, half: tuple[str]
) -> None:
    """Either the key is not the certificate's yet, or the server does not know the authority yet."""
    files, successor = Files(tmp_path, authority), Authority(tmp_path, "successor")
    config = bridge_config(proxy.address, prefix, {"jobs": {}}, tls=files.tls)
    with capture_logs() as logs:
        async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
            files.become(successor, *half)
            await eventually(lambda: told(logs, NOT_REPLACED))
            await delivers(bridge)

            await proxy.trust(successor)
            files.become(successor)
            await eventually(lambda: told(logs, REPLACED))
            proxy.drop_strangers()
            await delivers(bridge)
    assert "`tls`" in told(logs, NOT_REPLACED)[0]["reason"]


async def test_a_delivery_whose_queue_has_changed_since_goes_on_with_renewed_files(
    temporal: Client, prefix: str, proxy: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    gate, files, successor = Gate(), Files(tmp_path, authority), Authority(tmp_path, "successor")

    def config(concurrency: int) -> dict[str, Any]:
        return bridge_config(proxy.address, prefix, {"jobs": {"concurrency": concurrency}}, tls=files.tls)

    path = write_config(tmp_path, config(1))
    with capture_logs() as logs:
        async with running_bridge(path, temporal, prefix) as bridge:
            worker = await bridge.connect()
            await worker.register({"work": gate})
            receipt = await worker.enqueue("work", {}, "jobs")
            await bridge.eventually_handled(gate.begun, 1)
            write(path, config(2))
            await eventually(lambda: told(logs, "configuration changed"))
            await delivers(bridge)

            await proxy.trust(successor)
            files.become(successor)
            await eventually(lambda: told(logs, REPLACED))
            await eventually(lambda: len(proxy.let_in) >= 2)
            proxy.drop_strangers()
            await a_heartbeat(bridge.chain(receipt))
            write(path, config(3))
            await eventually(lambda: len(told(logs, "configuration changed")) == 2)
            await delivers(bridge)

            gate.open()
            await has_completed(bridge, receipt)
    assert [call.durable["attempt"] for call in gate.begun] == [1]


async def test_other_files_in_a_changed_configuration_are_used_at_once(
    temporal: Client, prefix: str, proxy: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    successor = Authority(tmp_path, "successor")
    old, new = Files(tmp_path, authority), Files(tmp_path, successor, "next")
    path = write_config(tmp_path, bridge_config(proxy.address, prefix, {"jobs": {}}, tls=old.tls))
    with capture_logs() as logs:
        async with running_bridge(path, temporal, prefix) as bridge:
            await proxy.trust(successor)
            write(path, bridge_config(proxy.address, prefix, {"jobs": {}}, tls=new.tls))
            await eventually(lambda: told(logs, REPLACED))
            proxy.drop_strangers()
            await delivers(bridge)
