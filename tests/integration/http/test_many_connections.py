"""Ten thousand clients at once: those within the limit are served, the next are told why they are not."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bridge.listeners.open_files import raise_open_file_limit
from tests.integration.http.running_bridge_process import bridge_process

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc"
)

KIB = 1024
CONNECTIONS = 10_000
AT_ONCE = 500
BEYOND = 200
BYTES_PER_CONNECTION = 20 * KIB
IDLE, HALF_A_HEAD = b"", b"GET /connections HTTP/1.1\r\nhost: x\r\n"


class Clients:
    """Plain sockets; a source address of their own for each thousand, lest ports run out."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        address = urlsplit(url)
        self._address = address.hostname, address.port
        self._stack = stack
        self._opened = 0

    def open(self, first: bytes = b"") -> socket.socket:
        source = f"127.0.0.{2 + self._opened // 1000}"
        self._opened += 1
        client = self._stack.enter_context(
            socket.create_connection(self._address, timeout=10, source_address=(source, 0))
        )
        client.sendall(first)
        return client


def response(client: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Send the rest of a request; returns the status and the body of the response."""
    client.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(64 * KIB) or b"\r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += client.recv(64 * KIB)
    return int(head.split(b" ")[1]), body


def get(client: socket.socket, path: str) -> int:
    status, body = response(client, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    assert status == 200
    return int(body)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def test_ten_thousand_connections_are_held_and_more_are_refused(stack: ExitStack) -> None:
    assert raise_open_file_limit() > CONNECTIONS + BEYOND
    async with bridge_process(max_connections=CONNECTIONS, head_timeout_ms=60_000) as addresses:
        clients = Clients(addresses["http_url"], stack)
        first = clients.open()
        before_bytes = get(first, "/peak")
        held: list[socket.socket] = []
        while len(held) < CONNECTIONS - 1:
            wanted = min(AT_ONCE, CONNECTIONS - 1 - len(held))
            held += [clients.open((IDLE, HALF_A_HEAD)[number % 2]) for number in range(wanted)]
            while get(first, "/connections") <= len(held) - 1:
                pass
        for _ in range(BEYOND):
            status, body = response(clients.open(), b"")
            assert (status, json.loads(body)["error"]["code"]) == (503, "TOO_MANY_CONNECTIONS")
        assert get(first, "/connections") == CONNECTIONS
        assert response(held[1], b"\r\n") == (200, str(CONNECTIONS).encode())
        assert (get(first, "/peak") - before_bytes) / CONNECTIONS < BYTES_PER_CONNECTION
        held[0].close()
        while get(first, "/connections") == CONNECTIONS:
            pass
        assert get(clients.open(), "/connections") == CONNECTIONS
