"""A Redis server of its own for a test: started in a moment, gone without a trace."""

import asyncio
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = shutil.which("redis-server")
PATIENCE_S = 10


@dataclass
class RedisServer:
    """The server can be killed and started again on the same port with the same data."""

    directory: Path
    port: int
    durable: bool = False
    _process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        if COMMAND is None:
            pytest.fail("redis-server is missing: run scripts/install-test-services as root")
        durability = ("--appendonly", "yes", "--appendfsync", "always") if self.durable else ()
        self._process = await asyncio.create_subprocess_exec(
            COMMAND,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)),
            *durability,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        async with asyncio.timeout(PATIENCE_S):
            while not await self._answers():
                assert self._process.returncode is None, "redis-server ended at once"
                await asyncio.sleep(0.005)

    async def kill(self) -> None:
        if self._process is not None and self.is_running:
            self._process.kill()
            await self._process.wait()

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"  # it is not while the data is being loaded
        except OSError:
            return False
        finally:
            writer.close()


@asynccontextmanager
async def redis_server(directory: Path, *, durable: bool = False) -> AsyncIterator[RedisServer]:
    """Run a server; `durable` makes what it acknowledges survive kill -9."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = RedisServer(directory, port, durable)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
