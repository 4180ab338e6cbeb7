"""The connection to Temporal: made when the server can be reached, kept by the client from then on."""

import asyncio
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime
from temporalio.service import RPCError, TLSConfig

from bridge.errors import EngineError, EnqueueError

__all__ = ["TemporalAddress", "TemporalConnection"]

log = structlog.get_logger("bridge.temporal")

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class TemporalAddress:
    """Where Temporal is and how to get in.

    Attributes:
        target: `host:port` of the frontend.
        namespace: Temporal's namespace.
        api_key: Who we are, if the server knows us by a key.
        tls: Certificates, or whether to use TLS at all.
        headers: What every request carries besides.
    """

    target: str
    namespace: str
    api_key: str | None = None
    tls: TLSConfig | bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def keeper(self) -> str:
        """Tells a namespace from every other, also on another server."""
        return f"{self.target}/{self.namespace}"


class TemporalConnection:
    """Connects in the background, for as long as it takes; the client itself survives later outages.

    Args:
        address: Where to connect.
        converter: How payloads are written and read.
        runtime: Carries logging and metrics of the Temporal SDK.
    """

    def __init__(
        self,
        address: TemporalAddress,
        converter: DataConverter = DataConverter.default,
        runtime: Runtime | None = None,
    ) -> None:
        self.address = address
        self._converter = converter
        self._runtime = runtime
        # Containers share process ids and sometimes host names; schedules need to know their keeper.
        self._identity = f"{os.getpid()}@{socket.gethostname()}#{uuid.uuid4().hex[:8]}"
        self._client: Client | None = None
        self._connected = asyncio.Event()

    @property
    def client(self) -> Client:
        """Return the client.

        Raises:
            EnqueueError: Temporal has not been reached since the bridge started.
        """
        if self._client is None:
            raise EnqueueError(
                f"Temporal at {self.address.target} has not been reached yet. Nothing was enqueued; "
                "start the server or correct the address, and try again."
            )
        return self._client

    async def connect(self) -> Client:
        """Return the client as soon as the server answers.

        Cancellation: safe.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self.connect_once()
            except EngineError as exc:
                log.warning(
                    "waiting for temporal", address=self.address.target, reason=str(exc.__cause__)[:200]
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def connect_once(self) -> Client:
        """Return the client if the server answers now.

        Raises:
            EngineError: It does not.
        """
        try:
            client = await Client.connect(
                self.address.target,
                namespace=self.address.namespace,
                api_key=self.address.api_key,
                tls=self.address.tls,
                rpc_metadata=self.address.headers,
                data_converter=self._converter,
                runtime=self._runtime,
                identity=self._identity,
            )
            await client.service_client.check_health(timeout=timedelta(seconds=5))
        except (RPCError, RuntimeError) as exc:
            raise EngineError(
                f"Temporal at {self.address.target} cannot be reached: {str(exc)[:200]}. "
                "Start the server, or correct `address`, `tls` and `api_key` of iii-temporal."
            ) from exc
        self._client = client
        self._connected.set()
        return client

    async def wait(self) -> Client:
        """Return the client once there is one.

        Cancellation: safe.
        """
        await self._connected.wait()
        return self.client

    async def is_healthy(self, timeout_s: float = 2) -> bool:
        """Ask the server whether it is serving."""
        if self._client is None:
            return False
        try:
            return await self._client.service_client.check_health(timeout=timedelta(seconds=timeout_s))
        except RPCError:
            return False
