"""The admin port on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from bridge.errors import ConfigError
from bridge.listeners.admin import AdminServer, Checks
from tests.support.waiting import PATIENCE_S


class Admin:
    def __init__(self) -> None:
        self.checks: dict[str, str | None] = {"temporal": None}
        self.server = AdminServer(self.check, self.render)
        self.port = 0

    async def check(self) -> Checks:
        return self.checks

    async def render(self) -> bytes:
        return b"iii_up 1\n"

    async def get(self, path: str, method: str = "GET") -> httpx.Response:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            return await client.request(method, f"http://127.0.0.1:{self.port}{path}")

    async def exchange(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    admin = Admin()
    admin.port = await admin.server.start("127.0.0.1", 0)
    yield admin
    await admin.server.close()


async def test_a_bridge_without_temporal_is_healthy_and_not_ready(admin: Admin):
    admin.checks["temporal"] = "127.0.0.1:7233 does not answer"

    assert (await admin.get("/healthz")).status_code == 200
    ready = await admin.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"status": "not ready", "checks": {"temporal": "127.0.0.1:7233 does not answer"}}


async def test_a_bridge_that_lacks_nothing_is_ready(admin: Admin):
    ready = await admin.get("/readyz?verbose")

    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "checks": {"temporal": "ok"}})


async def test_metrics_are_in_the_text_format_of_prometheus(admin: Admin):
    metrics = await admin.get("/metrics")

    assert metrics.text == "iii_up 1\n"
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_head_answers_without_a_body(admin: Admin):
    head = await admin.get("/healthz", "HEAD")

    assert (head.status_code, head.content) == (200, b"")


async def test_other_paths_and_methods_are_refused(admin: Admin):
    assert (await admin.get("/")).status_code == 404
    assert (await admin.get("/metrics", "POST")).status_code == 405


@pytest.mark.parametrize(
    "request_bytes", [b"x" * 40_000, b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe \x00\r\n\r\n"]
)
async def test_a_client_that_talks_nonsense_harms_nobody(admin: Admin, request_bytes: bytes):
    try:
        answer = await admin.exchange(request_bytes)
    except ConnectionResetError:
        answer = b""

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert (await admin.get("/healthz")).status_code == 200


async def test_a_taken_port_is_a_configuration_error_that_names_the_key(admin: Admin):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"iii-temporal\.admin\.port: 127\.0\.0\.1:{port}"):
            await AdminServer(admin.check, admin.render).start("127.0.0.1", port)
