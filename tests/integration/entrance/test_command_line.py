"""`iii-temporal trigger` and a bridge as processes, over an encrypted port that demands a token."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bridge_process import PROGRAM, bridge_process
from tests.support.pki import Authority
from tests.support.running_bridge import bridge_config, new_prefix, write_config

pytestmark = pytest.mark.integration


@pytest.fixture
async def port(temporal_address: str, authority: Authority, tmp_path: Path) -> AsyncIterator[str]:
    config = bridge_config(temporal_address, new_prefix(), {})
    listener = next(each for each in config["workers"] if each["name"] == "iii-worker-manager")
    listener["config"] |= {"tls": authority.sign().config, "tokens": ["s3cret"]}
    async with bridge_process(write_config(tmp_path, config)) as bridge:
        assert bridge.worker_url.startswith("wss://")
        yield bridge.worker_url.rpartition(":")[2]


async def trigger(port: str, *options: str, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        *("trigger", "engine::health::check", "--address", "127.0.0.1", "--port", port, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_the_command_sends_the_token_of_its_environment_over_tls(
    port: str, authority: Authority
) -> None:
    trusts = {"SSL_CERT_FILE": str(authority.file)}

    code, output, _ = await trigger(port, "--tls", III_TOKEN="s3cret", **trusts)
    assert (code, '"status": "healthy"' in output) == (0, True)

    code, _, errors = await trigger(port, "--tls", **trusts)
    assert code == 1
    assert "Set III_TOKEN to one of the `tokens`" in errors

    code, _, errors = await trigger(port, "--tls", III_TOKEN="s3cret")
    assert code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in errors

    code, _, errors = await trigger(port, III_TOKEN="s3cret")
    assert code == 1
    assert "s3cret" not in errors
