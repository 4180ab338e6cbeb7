"""What stands in front of a Temporal that wants certificates: TLS ends here, and bytes go on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.pki import Authority


class TlsProxy:
    """Lets only those through to Temporal who have a certificate of its authority.

    Args:
        target: Temporal's `host:port`.

    Attributes:
        let_in: Connections that were made since the authority is trusted.
    """

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._server: asyncio.Server | None = None
        self._listening_port = 0
        self._strangers: list[asyncio.StreamWriter] = []
        self.let_in: list[asyncio.StreamWriter] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listening_port}"

    async def trust(self, authority: Authority) -> None:
        """Have a certificate of this authority, and ask for one; who came before keeps the connection."""
        self.close()
        self._strangers += self.let_in
        self.let_in = []
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._listening_port, ssl=_context(authority)
        )
        self._listening_port = self._server.sockets[0].getsockname()[1]

    def drop_strangers(self) -> None:
        """Cut the connections of those who came before: whoever comes again shows a certificate."""
        for writer in self._strangers:
            writer.transport.abort()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.let_in.append(writer)
        behind_reader, behind_writer = await asyncio.open_connection(self._host, int(self._port))
        await asyncio.gather(_forward(reader, behind_writer), _forward(behind_reader, writer))


@asynccontextmanager
async def mutual_tls(target: str, authority: Authority) -> AsyncIterator[TlsProxy]:
    """Let only those with the authority's certificates through to `host:port`."""
    proxy = TlsProxy(target)
    await proxy.trust(authority)
    try:
        yield proxy
    finally:
        proxy.close()


def _context(authority: Authority) -> ssl.SSLContext:
    pair = authority.sign("temporal")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    context.load_cert_chain(pair.cert_file, pair.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])  # gRPC asks for it
    return context


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # either side may go away at any time
    finally:
        writer.close()
