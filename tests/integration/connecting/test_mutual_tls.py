"""A Temporal that lets in who shows a certificate of its authority (docs/connecting.md)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from bridge.config import load_config
from bridge.errors import EngineError
from bridge.settings import temporal_settings
from bridge.temporal.connection import TemporalConnection
from tests.support.handlers import Recording
from tests.support.pki import Authority
from tests.support.running_bridge import bridge_config, ended, running_bridge, write_config
from tests.support.tls_proxy import mutual_tls

pytestmark = pytest.mark.integration


@pytest.fixture
async def encrypted_address(temporal_address: str, authority: Authority) -> AsyncIterator[str]:
    async with mutual_tls(temporal_address, authority) as proxy:
        yield proxy.address


async def test_a_profile_with_certificates_leads_to_temporal(
    temporal: Client, prefix: str, encrypted_address: str, authority: Authority, tmp_path: Path
) -> None:
    pair, file = authority.sign("bridge"), tmp_path / "temporal.toml"
    file.write_text(
        f"""
        [profile.production.tls]
        server_name = "localhost"
        server_ca_cert_path = "{authority.file}"
        client_cert_path = "{pair.cert_file}"
        client_key_data = '''{pair.key_file.read_text()}'''
        """
    )
    handled = Recording()
    config = bridge_config(
        encrypted_address, prefix, {"jobs": {}}, profile="production", config_file=str(file)
    )
    async with running_bridge(write_config(tmp_path, config), temporal, prefix) as bridge:
        worker = await bridge.connect()
        await worker.register({"work": handled})
        receipt = await worker.enqueue("work", {"number": 1}, "jobs")
        assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED
    assert handled.payloads == [{"number": 1}]


@pytest.mark.parametrize("shows_a_certificate", [True, False])
async def test_who_has_no_certificate_of_the_authority_is_told_where_to_look(
    encrypted_address: str, authority: Authority, tmp_path: Path, shows_a_certificate: bool
) -> None:
    environ = {
        "TEMPORAL_ADDRESS": encrypted_address,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.file),
    }
    if shows_a_certificate:
        stranger = Authority(tmp_path, "other").sign("stranger")
        environ |= {
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(stranger.cert_file),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(stranger.key_file),
        }
    file = tmp_path / "iii-config.yaml"
    file.write_text("workers: []")
    settings = temporal_settings(load_config(file, environ=environ).temporal)
    with pytest.raises(EngineError, match=r"cannot be reached: .* correct .*`tls`"):
        await TemporalConnection(settings.address).connect_once()
