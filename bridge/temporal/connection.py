"""The connection to Temporal: made when the server can be reached, and again when its certificates change."""

import asyncio
import os
import socket
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NoReturn

import structlog
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime
from temporalio.service import RPCError

from bridge.certificates import LOOK_INTERVAL_S
from bridge.credentials import Credentials, CredentialSources
from bridge.errors import EngineError, EnqueueError
from bridge.temporal.client_holders import ClientHolders

__all__ = ["TemporalAddress", "TemporalConnection"]

log = structlog.get_logger("bridge.temporal")

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_ANSWER_TIMEOUT = timedelta(seconds=5)
_REPLACE_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class TemporalAddress:
    """Where Temporal is and how to get in.

    Attributes:
        target: `host:port` of the frontend.
        namespace: Temporal's namespace.
        credentials: What it knows us by.
    """

    target: str
    namespace: str
    credentials: CredentialSources = field(default_factory=CredentialSources)

    @property
    def keeper(self) -> str:
        """Tells a namespace from every other, also on another server."""
        return f"{self.target}/{self.namespace}"


class TemporalConnection:
    """Connects in the background, for as long as it takes; the client itself survives later outages.

    Credentials are read again now and then. New ones are put in force once Temporal has taken them, and
    nothing that runs notices: a new API key goes into the client there is, new certificates make another.

    Args:
        address: Where to connect.
        converter: How payloads are written and read.
        runtime: Carries logging and metrics of the Temporal SDK.
        look_interval_s: How often the files of credentials are looked at.

    Attributes:
        workers: Those that were made with the client.
    """

    def __init__(
        self,
        address: TemporalAddress,
        converter: DataConverter = DataConverter.default,
        runtime: Runtime | None = None,
        *,
        look_interval_s: float = LOOK_INTERVAL_S,
    ) -> None:
        self.address = address
        self.workers = ClientHolders()
        self._converter = converter
        self._runtime = runtime
        self._look_interval_s = look_interval_s
        # Containers share process ids and sometimes host names; schedules need to know their keeper.
        self._identity = f"{os.getpid()}@{socket.gethostname()}#{uuid.uuid4().hex[:8]}"
        self._client: Client | None = None
        self._in_force = Credentials()
        self._connected = asyncio.Event()
        self._replacing = asyncio.Lock()

    @property
    def client(self) -> Client:
        """Return the client of now; who keeps it keeps the certificates of now.

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
            EngineError: It does not, or credentials cannot be read.
        """
        async with self._replacing:
            credentials = await asyncio.to_thread(self.address.credentials.read)
            self._client = await self._open(credentials)
            self._in_force = credentials
        self._connected.set()
        return self._client

    async def watch(self) -> NoReturn:
        """Look at the files of credentials now and then.

        Cancellation: safe.
        """
        while True:
            await asyncio.sleep(self._look_interval_s)
            await self.refresh()

    async def follow(self, sources: CredentialSources) -> None:
        """Take credentials from somewhere else from now on.

        Cancellation: they are put in force at the next look.
        """
        self.address = replace(self.address, credentials=sources)
        await self.refresh()

    async def refresh(self) -> None:
        """Put new credentials in force; what Temporal does not take, or nobody can read, changes nothing.

        Cancellation: safe; some workers may still have the old client.
        """
        async with self._replacing:
            old = self._client
            if old is None:
                return  # whoever connects reads them
            try:
                async with asyncio.timeout(_REPLACE_TIMEOUT_S):
                    found = await asyncio.to_thread(self.address.credentials.read)
                    client = await self._taken(old, found)
            except (EngineError, TimeoutError) as exc:
                log.warning(
                    "temporal credentials not replaced; the old ones stay",
                    address=self.address.target,
                    namespace=self.address.namespace,
                    reason=str(exc) or f"no answer within {_REPLACE_TIMEOUT_S} s",
                )
                return
            self._client, self._in_force = client, found
            if client is not old:
                await self.workers.take(client, lambda: self._open(found))

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

    async def _taken(self, client: Client, found: Credentials) -> Client:
        """Return a client whose credentials Temporal has taken: the given one, unless certificates differ."""
        if found == self._in_force:
            return client
        if found.tls != self._in_force.tls:
            client = await self._open(found)
        await self._prove(client, found)
        client.rpc_metadata = found.headers
        client.api_key = found.api_key
        log.info(
            "temporal credentials replaced", address=self.address.target, namespace=self.address.namespace
        )
        return client

    async def _open(self, credentials: Credentials) -> Client:
        try:
            client = await Client.connect(
                self.address.target,
                namespace=self.address.namespace,
                api_key=credentials.api_key,
                tls=credentials.tls or False,
                rpc_metadata=credentials.headers,
                data_converter=self._converter,
                runtime=self._runtime,
                identity=self._identity,
            )
            await client.service_client.check_health(timeout=_ANSWER_TIMEOUT)
        except (RPCError, RuntimeError) as exc:
            raise EngineError(
                f"Temporal at {self.address.target} cannot be reached: {str(exc)[:200]}. "
                "Start the server, or correct `address`, `tls` and `api_key` of iii-temporal."
            ) from exc
        return client

    async def _prove(self, client: Client, credentials: Credentials) -> None:
        """Ask, under these credentials, for what only those who may use the namespace are told."""
        headers = dict(credentials.headers)
        if credentials.api_key is not None:
            headers.setdefault("authorization", f"Bearer {credentials.api_key}")
        try:
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=self.address.namespace),
                retry=True,
                metadata=headers,
                timeout=_ANSWER_TIMEOUT,
            )
        except RPCError as exc:
            raise EngineError(
                f"Temporal at {self.address.target} does not let them in: {str(exc)[:200]}. "
                "Correct `api_key`, `tls` or `grpc_meta` of iii-temporal, or the files they name."
            ) from exc
