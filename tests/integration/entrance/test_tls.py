"""Encrypted listeners, with an authority made for the test."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from bridge.certificates import CertificateFiles, Certificates
from bridge.entrance import Entrance
from bridge.listeners.admin import AdminServer
from tests.integration.entrance.conftest import Start
from tests.integration.entrance.sdk_processes import sdk_client
from tests.support.fake_sdk import connected
from tests.support.pki import Authority, Pair
from tests.support.waiting import PATIENCE_S, eventually

CA_VARIABLE = {"python": "SSL_CERT_FILE", "node": "NODE_EXTRA_CA_CERTS"}


async def get(url: str, trusted: ssl.SSLContext) -> int:
    async with httpx.AsyncClient(verify=trusted, timeout=PATIENCE_S) as client:
        return (await client.get(url)).status_code


async def test_every_listener_speaks_tls_and_nothing_else(start: Start, authority: Authority) -> None:
    bridge = await start(tls=authority.sign().config)
    trusted = authority.trusted()
    addresses = bridge.addresses
    assert addresses.http is not None
    assert addresses.stream is not None

    assert await get(f"{addresses.admin}/healthz", trusted) == 200
    assert await get(f"{addresses.http}/nothing", trusted) == 404
    async with connect(addresses.stream, ssl=trusted):
        pass
    async with connected(addresses.workers[0], ssl=trusted) as worker:
        assert await worker.trigger("engine::health::check")
    for url in (addresses.admin, addresses.http):
        with pytest.raises(httpx.TransportError):
            await get(url.replace("https", "http"), trusted)
    for url in (addresses.stream, addresses.workers[0]):
        with pytest.raises((OSError, WebSocketException)):
            await connect(url.replace("wss", "ws"), open_timeout=5)


@pytest.mark.parametrize("runtime", CA_VARIABLE)
async def test_sdks_that_know_the_authority_get_in(
    start: Start, authority: Authority, runtime: str, tmp_path: Path
) -> None:
    bridge = await start(tls=authority.sign().config)
    url = bridge.addresses.workers[0]
    environment = {CA_VARIABLE[runtime]: str(authority.file)}
    async with (
        connected(url.replace("127.0.0.1", "localhost"), ssl=authority.trusted()) as caller,
        sdk_client(runtime, url.replace("127.0.0.1", "localhost"), environment, tmp_path, caller=caller),
    ):
        assert await caller.trigger(f"{runtime}::echo", {"n": 1}) == {"echo": 1}


async def test_with_a_client_authority_only_its_clients_get_in(
    start: Start, authority: Authority, tmp_path: Path
) -> None:
    strangers = Authority(tmp_path, "strangers")
    bridge = await start(tls={**authority.sign().config, "client_ca_file": str(authority.file)})
    url = f"{bridge.addresses.admin}/healthz"

    assert await get(url, authority.trusted(authority.sign("client"))) == 200
    for stranger in (None, strangers.sign("stranger")):
        with pytest.raises(httpx.TransportError):
            await get(url, authority.trusted(stranger))


class Renewed:
    """A server whose certificate is renewed while it serves."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.certificates = Certificates()
        self.context = self.certificates.open(CertificateFiles(pair.cert_file, pair.key_file))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async def check() -> dict[str, Any]:
            return {}

        async def render() -> bytes:
            return b""

        server = AdminServer(check, render, Entrance(self.context))
        try:
            yield f"https://127.0.0.1:{await server.start('127.0.0.1', 0)}/healthz"
        finally:
            await server.close()


async def test_a_renewed_certificate_is_served_to_the_next_connection(
    authority: Authority, tmp_path: Path
) -> None:
    successor = Authority(tmp_path, "successor")
    served = Renewed(authority.sign())
    async with served.listening() as url:
        assert await get(url, authority.trusted()) == 200

        successor.sign()
        await served.certificates.refresh()

        assert await get(url, successor.trusted()) == 200
        with pytest.raises(httpx.ConnectError):
            await get(url, authority.trusted())


async def test_a_bridge_notices_a_renewed_certificate_by_itself(
    start: Start, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.app.Certificates", partial(Certificates, look_interval_s=0.02))
    bridge = await start(tls=authority.sign().config)
    successor = Authority(tmp_path, "successor")
    successor.sign()

    async def serves_the_new_one() -> bool:
        try:
            return await get(f"{bridge.addresses.admin}/healthz", successor.trusted()) == 200
        except httpx.ConnectError:
            return False

    await eventually(serves_the_new_one)


async def test_files_that_cannot_be_used_leave_the_certificate_as_it_was(authority: Authority) -> None:
    pair = authority.sign()
    served = Renewed(pair)
    good = pair.cert_file.read_bytes()
    async with served.listening() as url:
        for bad in (b"no certificate", authority.sign("other").cert_file.read_bytes()):
            pair.cert_file.write_bytes(bad)
            await served.certificates.refresh()
            assert await get(url, authority.trusted()) == 200
        pair.cert_file.unlink()
        await served.certificates.refresh()
        assert await get(url, authority.trusted()) == 200

        pair.cert_file.write_bytes(good)
        await served.certificates.refresh()
        assert await get(url, authority.trusted()) == 200


async def test_a_request_that_is_refused_early_is_answered_over_tls_too(
    start: Start, authority: Authority
) -> None:
    bridge = await start(tls=authority.sign().config)
    async with httpx.AsyncClient(verify=authority.trusted(), timeout=PATIENCE_S) as client:
        answer = await client.get(f"{bridge.addresses.http}/x", headers={"x": "y" * 70_000})
    assert answer.status_code == 431


async def test_a_worker_that_begins_no_handshake_holds_up_nobody_and_is_hung_up_on(
    start: Start, authority: Authority
) -> None:
    bridge = await start(tls=authority.sign().config, workers={"handshake_timeout_ms": 2_000})
    host, port = bridge.addresses.workers[0].removeprefix("wss://").split(":")
    reader, silent = await asyncio.open_connection(host, int(port))
    try:
        async with connected(bridge.addresses.workers[0], ssl=authority.trusted()) as worker:
            assert await worker.trigger("engine::health::check")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
    finally:
        silent.close()
